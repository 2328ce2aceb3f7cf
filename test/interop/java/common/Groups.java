import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Several members, slow members, failing members. */
final class Groups {
    static void add(Map<String, Scenario> scenarios) {
        scenarios.put("rebalance", Groups::rebalance);
        scenarios.put("flowControl", Groups::flowControl);
        scenarios.put("retryDelays", Groups::retryDelays);
        scenarios.put("retryOwnGroupOnly", Groups::retryOwnGroup);
    }

    private static Set<Integer> queuesOf(World world, DefaultMQPushConsumer member) {
        Set<Integer> queues = new TreeSet<>();
        for (MessageQueue queue : member.getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable().keySet()) {
            if (queue.getTopic().equals(world.topic)) queues.add(queue.getQueueId());
        }
        return queues;
    }

    /** Each queue belongs to one member, and all members have as many as is fair. */
    private static void settled(World world, List<DefaultMQPushConsumer> members, Integer... sizes) throws Exception {
        World.await(60, Arrays.asList(sizes) + " queues for the members", () -> {
            Set<Integer> all = new TreeSet<>();
            List<Integer> counts = new ArrayList<>();
            for (DefaultMQPushConsumer member : members) {
                all.addAll(queuesOf(world, member));
                counts.add(queuesOf(world, member).size());
            }
            counts.sort(null);
            return all.size() == 4 && counts.equals(Arrays.asList(sizes));
        });
    }

    private static void rebalance(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        producer.send(world.message("warm-up"));
        List<DefaultMQPushConsumer> members = new ArrayList<>();
        members.add(world.listening("*"));
        settled(world, members, 4);
        members.add(world.listening("*"));
        settled(world, members, 2, 2);
        members.add(world.listening("*"));
        settled(world, members, 1, 1, 2);
        forgetRepeats(world);
        world.expectExactly(sendAll(world, producer, "three"));
        leave(members);
        settled(world, members, 2, 2);
        forgetRepeats(world);
        world.expectExactly(sendAll(world, producer, "two"));
        leave(members);
        settled(world, members, 4);
        forgetRepeats(world);
        world.expectExactly(sendAll(world, producer, "one"));
    }

    /** Who takes a queue over may ask for its offset before who had it has said how far it was. */
    private static void forgetRepeats(World world) throws Exception {
        Thread.sleep(2_000);
        world.received.clear();
    }

    /** Not in the middle of a message: what its handler has not returned from comes again at another member. */
    private static void leave(List<DefaultMQPushConsumer> members) throws Exception {
        Thread.sleep(1_000);
        members.remove(0).shutdown();
    }

    private static List<String> sendAll(World world, DefaultMQProducer producer, String name) throws Exception {
        List<String> bodies = new ArrayList<>();
        for (int i = 0; i < 24; i++) {
            bodies.add(name + " " + i);
            producer.send(world.message(name + " " + i));
        }
        return bodies;
    }

    /** A consumer that takes its time and caches little gets everything all the same, once. */
    private static void flowControl(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        List<String> bodies = new ArrayList<>();
        for (int i = 0; i < 300; i++) {
            bodies.add("slow " + i);
            producer.send(world.message("slow " + i));
        }
        DefaultMQPushConsumer consumer = world.consumer(world.group, "*");
        consumer.setPullThresholdForQueue(5);
        consumer.setPullBatchSize(2);
        consumer.setConsumeConcurrentlyMaxSpan(10);
        consumer.registerMessageListener((List<MessageExt> messages, ConsumeConcurrentlyContext context) -> {
            try {
                Thread.sleep(5);
            } catch (InterruptedException stopped) {
                return ConsumeConcurrentlyStatus.RECONSUME_LATER;
            }
            world.received.addAll(messages);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        world.expectExactly(bodies, 90);
    }

    /** The first retry, without a level, comes after 10 s, the next ones after the levels asked for; all counted, under the message's own id. */
    private static void retryDelays(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        String id = producer.send(world.message("again")).getMsgId();
        DefaultMQPushConsumer consumer = world.consumer(world.group, "*");
        List<Long> times = new CopyOnWriteArrayList<>();
        int[] levels = {0, 1, 2};
        long[] pauses = {10_000, 1_000, 5_000};
        consumer.registerMessageListener((List<MessageExt> messages, ConsumeConcurrentlyContext context) -> {
            int attempt = messages.get(0).getReconsumeTimes();
            times.add(System.currentTimeMillis());
            world.received.addAll(messages);
            if (attempt >= levels.length) return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            context.setDelayLevelWhenNextConsume(levels[attempt]);
            return ConsumeConcurrentlyStatus.RECONSUME_LATER;
        });
        consumer.start();
        for (int attempt = 0; attempt <= levels.length; attempt++) {
            MessageExt got = world.next(60, "for attempt " + attempt);
            World.expect(got.getReconsumeTimes() == attempt && got.getMsgId().equals(id) && got.getTopic().equals(world.topic), attempt + " retries of " + id + ", not " + got);
            if (attempt == 0) continue;
            long pause = times.get(attempt) - times.get(attempt - 1);
            long wanted = pauses[attempt - 1];
            World.expect(pause >= wanted && pause < wanted + 10_000, wanted + " ms before attempt " + attempt + ", not " + pause);
        }
    }

    /** What one group sends back comes to no other group. */
    private static void retryOwnGroup(World world) throws Exception {
        world.producer().send(world.message("shared"));
        Map<String, AtomicInteger> counts = new ConcurrentHashMap<>();
        for (String name : Arrays.asList("fails", "takes")) {
            DefaultMQPushConsumer consumer = world.consumer(world.group + "-" + name, "*");
            consumer.registerMessageListener((List<MessageExt> messages, ConsumeConcurrentlyContext context) -> {
                counts.computeIfAbsent(name, key -> new AtomicInteger()).addAndGet(messages.size());
                context.setDelayLevelWhenNextConsume(1);
                return name.equals("fails") && messages.get(0).getReconsumeTimes() < 3
                    ? ConsumeConcurrentlyStatus.RECONSUME_LATER
                    : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
            consumer.start();
        }
        World.await(60, "four attempts of the failing group", () -> counts.containsKey("fails") && counts.get("fails").get() == 4);
        Thread.sleep(2_000);
        World.expect(counts.get("fails").get() == 4 && counts.get("takes").get() == 1, "four and one, not " + counts);
    }
}
