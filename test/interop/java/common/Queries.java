import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.QueryResult;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** Looking things up, and moving offsets. */
final class Queries {
    static void add(Map<String, Scenario> scenarios) {
        scenarios.put("queryById", Queries::byId);
        scenarios.put("queryByKey", Queries::byKey);
        scenarios.put("resetOnline", Queries::resetOnline);
        scenarios.put("resetOffline", Queries::resetOffline);
        scenarios.put("runningInfo", Queries::runningInfo);
    }

    static DefaultMQAdminExt admin(World world) throws Exception {
        DefaultMQAdminExt admin = new DefaultMQAdminExt();
        admin.setNamesrvAddr(world.nameServer);
        admin.setInstanceName(World.instance());
        admin.start();
        world.closing(admin::shutdown);
        return admin;
    }

    /** @return address of the one broker there is, which need not be the name server's */
    static String broker(DefaultMQAdminExt admin) throws Exception {
        return admin.examineBrokerClusterInfo().getBrokerAddrTable().values().iterator().next().getBrokerAddrs().get(0L);
    }

    /** What the broker finds under a key, once it is as many as there should be or ten seconds have passed. */
    static List<MessageExt> byKey(DefaultMQProducer producer, String topic, String key, int wanted) throws Exception {
        long now = System.currentTimeMillis();
        for (long deadline = now + 10_000; ; Thread.sleep(100)) {
            List<MessageExt> found = new ArrayList<>();
            try {
                found.addAll(producer.queryMessage(topic, key, 64, now - 3_600_000, now + 3_600_000).getMessageList());
            } catch (MQClientException nothing) {
                // It is an error to the client that there is none.
            }
            if (found.size() >= wanted || System.currentTimeMillis() > deadline) return found;
        }
    }

    private static void byId(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        SendResult sent = producer.send(world.message("find me"));
        MessageExt byOffset = Version.view(producer, world.topic, sent.getOffsetMsgId());
        World.expect(World.text(byOffset).equals("find me"), "the body by offset id");
        MessageExt byUnique = Version.view(producer, world.topic, sent.getMsgId());
        World.expect(World.text(byUnique).equals("find me"), "the body by unique id");
    }

    private static void byKey(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        for (String key : Arrays.asList("Aa", "BB", "Aa other")) {
            Message message = world.message("keyed " + key);
            message.setKeys(key);
            producer.send(message);
        }
        long now = System.currentTimeMillis();
        QueryResult found = producer.queryMessage(world.topic, "Aa", 32, now - 3_600_000, now + 3_600_000);
        World.expect(found.getMessageList().size() == 2, "two messages of key Aa, not " + found.getMessageList());
        for (MessageExt one : found.getMessageList()) World.expect(one.getKeys().startsWith("Aa"), "key Aa in " + one);
    }

    private static void resetOnline(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        producer.send(world.message("once"));
        world.listening("*");
        world.expectExactly(Arrays.asList("once"));
        admin(world).resetOffsetByTimestamp(world.topic, world.group, System.currentTimeMillis() - 3_600_000, true);
        world.expectExactly(Arrays.asList("once"), 90);
    }

    private static void resetOffline(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        producer.send(world.message("once"));
        DefaultMQPushConsumer first = world.listening("*");
        world.expectExactly(Arrays.asList("once"));
        first.shutdown();
        admin(world).resetOffsetByTimestampOld(world.group, world.topic, System.currentTimeMillis() - 3_600_000, true);
        world.listening("*");
        world.expectExactly(Arrays.asList("once"));
    }

    private static void runningInfo(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        SendResult sent = producer.send(world.message("direct"));
        DefaultMQPushConsumer consumer = world.listening("*");
        world.expectExactly(Arrays.asList("direct"));
        String clientId = consumer.getDefaultMQPushConsumerImpl().getmQClientFactory().getClientId();
        DefaultMQAdminExt admin = admin(world);
        World.expect(admin.getConsumerRunningInfo(world.group, clientId, false).getSubscriptionSet().size() == 2,
            "the topic and its retry topic");
        String result = String.valueOf(Version.consumeDirectly(admin, world.group, clientId, world.topic, sent.getMsgId()));
        World.expect(result.contains("CR_SUCCESS"), "CR_SUCCESS, not " + result);
        world.expectExactly(Arrays.asList("direct"));
    }
}
