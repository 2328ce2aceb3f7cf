import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** What the broker leaves out, and pulls by hand. */
final class Filters {
    static void add(Map<String, Scenario> scenarios) {
        scenarios.put("sqlFilter", Filters::sql);
        scenarios.put("sqlLitePull", Filters::sqlLitePull);
        scenarios.put("sqlRefused", Filters::sqlRefused);
        scenarios.put("pullConsumer", Filters::pull);
    }

    /** Thirty messages; amount is the number, region alternates, every tenth is vip. */
    private static void send(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        for (int i = 0; i < 30; i++) {
            Message message = world.message("m" + i);
            message.setTags(i % 10 == 9 ? "vip" : "plain");
            message.putUserProperty("amount", String.valueOf(i));
            message.putUserProperty("region", i % 2 == 0 ? "eu" : "us");
            producer.send(message);
        }
    }

    private static void sql(World world) throws Exception {
        send(world);
        DefaultMQPushConsumer consumer = world.consumer(world.group, "*");
        consumer.subscribe(world.topic, MessageSelector.bySql("(amount BETWEEN 10 AND 15 AND region = 'eu') OR TAGS = 'vip'"));
        consumer.registerMessageListener((List<MessageExt> messages, ConsumeConcurrentlyContext context) -> {
            MessageExt first = messages.get(0);
            context.setDelayLevelWhenNextConsume(1);
            // A retry comes without being filtered again.
            if (World.text(first).equals("m12") && first.getReconsumeTimes() == 0) return ConsumeConcurrentlyStatus.RECONSUME_LATER;
            world.received.addAll(messages);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        world.expectExactly(Arrays.asList("m9", "m10", "m12", "m14", "m19", "m29"));
    }

    private static void sqlLitePull(World world) throws Exception {
        send(world);
        DefaultLitePullConsumer consumer = new DefaultLitePullConsumer(world.group);
        consumer.setNamesrvAddr(world.nameServer);
        consumer.setInstanceName(World.instance());
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(world.topic, MessageSelector.bySql("amount > 26 AND region IS NOT NULL"));
        consumer.start();
        world.closing(consumer::shutdown);
        World.await(45, "three were polled", () -> {
            world.received.addAll(consumer.poll(500));
            return world.received.size() >= 3;
        });
        world.expectExactly(Arrays.asList("m27", "m28", "m29"));
    }

    private static void sqlRefused(World world) throws Exception {
        world.producer().send(world.message("there"));
        DefaultMQPushConsumer consumer = world.consumer(world.group, "*");
        consumer.subscribe(world.topic, MessageSelector.bySql("amount >"));
        consumer.registerMessageListener((List<MessageExt> messages, ConsumeConcurrentlyContext context) ->
            ConsumeConcurrentlyStatus.CONSUME_SUCCESS);
        try {
            consumer.start();
        } catch (MQClientException refused) {
            return;
        }
        throw new AssertionError("a consumer with the expression \"amount >\" was started");
    }

    /** The oldest way: the program asks for each piece and keeps its own offsets. */
    private static void pull(World world) throws Exception {
        send(world);
        DefaultMQPullConsumer consumer = new DefaultMQPullConsumer(world.group);
        consumer.setNamesrvAddr(world.nameServer);
        consumer.setInstanceName(World.instance());
        consumer.start();
        world.closing(consumer::shutdown);
        List<MessageQueue> queues = new ArrayList<>(consumer.fetchSubscribeMessageQueues(world.topic));
        World.expect(queues.size() == 4, "four queues, not " + queues);
        for (MessageQueue queue : queues) {
            long offset = consumer.minOffset(queue);
            for (boolean more = true; more; ) {
                PullResult result = consumer.pull(queue, "vip", offset, 3);
                more = result.getPullStatus() == PullStatus.FOUND || result.getPullStatus() == PullStatus.NO_MATCHED_MSG;
                if (result.getPullStatus() == PullStatus.FOUND) world.received.addAll(result.getMsgFoundList());
                offset = result.getNextBeginOffset();
                more = more && offset < consumer.maxOffset(queue);
            }
            consumer.updateConsumeOffset(queue, offset);
            World.expect(offset == consumer.maxOffset(queue), "the end of " + queue + ", not " + offset);
        }
        world.expectExactly(Arrays.asList("m9", "m19", "m29"));
    }
}
