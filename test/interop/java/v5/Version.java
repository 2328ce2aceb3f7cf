import java.util.Arrays;
import java.util.Map;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.remoting.protocol.heartbeat.MessageModel;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** What 5.x names differently, and what only it can do. */
final class Version {
    static void add(Map<String, Scenario> scenarios) {
        scenarios.put("timer", Version::timer);
        scenarios.put("recall", Version::recall);
    }

    static void broadcasting(DefaultMQPushConsumer consumer) {
        consumer.setMessageModel(MessageModel.BROADCASTING);
    }

    static DefaultMQProducer traced(String group) {
        return new DefaultMQProducer(group, true, null);
    }

    static MessageExt view(DefaultMQProducer producer, String topic, String id) throws Exception {
        return producer.viewMessage(topic, id);
    }

    static Object consumeDirectly(DefaultMQAdminExt admin, String group, String clientId, String topic, String id) throws Exception {
        return admin.consumeMessageDirectly(group, clientId, topic, id);
    }

    private static void timer(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        producer.send(world.message("now"));
        world.listening("*");
        world.expectExactly(Arrays.asList("now"));
        Message message = world.message("later");
        message.setDelayTimeMs(3_500);
        long before = System.currentTimeMillis();
        producer.send(message);
        world.next(30, "for the timer message");
        long took = System.currentTimeMillis() - before;
        World.expect(took >= 3_500 && took < 12_000, "3.5 s, not " + took + " ms");
    }

    private static void recall(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        producer.send(world.message("now"));
        Message message = world.message("never");
        message.setDeliverTimeMs(System.currentTimeMillis() + 8_000);
        SendResult sent = producer.send(message);
        World.expect(sent.getRecallHandle() != null, "a recall handle in " + sent);
        World.expect(producer.recallMessage(world.topic, sent.getRecallHandle()).equals(sent.getMsgId()), "the id back");
        Message marker = world.message("marker");
        marker.setDelayTimeMs(10_000);
        producer.send(marker);
        world.listening("*");
        world.expectExactly(Arrays.asList("now", "marker"));
    }
}
