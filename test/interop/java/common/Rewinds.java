import java.text.SimpleDateFormat;
import java.util.ArrayList;
import java.util.Date;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageExt;

/** Where a group begins, where it goes on, and how it is moved. */
final class Rewinds {
    static void add(Map<String, Scenario> scenarios) {
        scenarios.put("rewindToTime", Rewinds::toTime);
        scenarios.put("fromTimestamp", Rewinds::fromTimestamp);
        scenarios.put("fromLast", Rewinds::fromLast);
        scenarios.put("offsetsKept", Rewinds::kept);
    }

    private static List<String> send(World world, DefaultMQProducer producer, String name) throws Exception {
        List<String> bodies = new ArrayList<>();
        for (int i = 0; i < 8; i++) {
            bodies.add(name + " " + i);
            producer.send(world.message(name + " " + i));
        }
        return bodies;
    }

    /** The begin of a second, with more than one between what was before and what comes. */
    private static long apart() throws Exception {
        Thread.sleep(1_100);
        long second = (System.currentTimeMillis() / 1000 + 1) * 1000;
        while (System.currentTimeMillis() < second) Thread.sleep(5);
        return second;
    }

    private static List<String> both(List<String> one, List<String> other) {
        List<String> all = new ArrayList<>(one);
        all.addAll(other);
        return all;
    }

    /** While the group runs: what was stored since that time comes again, what was before does not. */
    private static void toTime(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        List<String> before = send(world, producer, "before");
        long between = apart();
        List<String> after = send(world, producer, "after");
        world.listening("*");
        world.expectExactly(both(before, after));
        Queries.admin(world).resetOffsetByTimestamp(world.topic, world.group, between, true);
        world.expectExactly(after, 90);
    }

    private static DefaultMQPushConsumer listening(World world, ConsumeFromWhere where, String timestamp) throws Exception {
        DefaultMQPushConsumer consumer = world.consumer(world.group, "*");
        consumer.setConsumeFromWhere(where);
        if (timestamp != null) consumer.setConsumeTimestamp(timestamp);
        consumer.registerMessageListener((List<MessageExt> messages, ConsumeConcurrentlyContext context) -> {
            world.received.addAll(messages);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        return consumer;
    }

    /** The broker answers 0 to the question where a new group is as long as the topic's first message is there, so a time counts for nothing. */
    private static void fromTimestamp(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        List<String> before = send(world, producer, "before");
        long between = apart();
        List<String> after = send(world, producer, "after");
        listening(world, ConsumeFromWhere.CONSUME_FROM_TIMESTAMP, new SimpleDateFormat("yyyyMMddHHmmss").format(new Date(between)));
        world.expectExactly(both(before, after));
    }

    /** A topic of which nothing has expired is read from its begin, also by a group that starts at the end (broker.md). */
    private static void fromLast(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        List<String> bodies = send(world, producer, "young");
        listening(world, ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET, null);
        world.expectExactly(bodies);
    }

    /** A consumer that went and one that comes: the group goes on where it was, with nothing twice. */
    private static void kept(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        List<String> first = send(world, producer, "first");
        DefaultMQPushConsumer one = world.listening("*");
        world.expectExactly(first);
        one.shutdown();
        List<String> second = send(world, producer, "while away");
        DefaultMQPushConsumer other = world.listening("*");
        world.expectExactly(second);
        other.shutdown();
        World.expect(Queries.admin(world).examineConsumeStats(world.group).computeTotalDiff() == 0, "nothing left for the group");
        world.listening("*");
        world.expectExactly(send(world, producer, "at the end"));
    }
}
