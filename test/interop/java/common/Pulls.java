import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Consumers that ask instead of being called. */
final class Pulls {
    static void add(Map<String, Scenario> scenarios) {
        scenarios.put("liteAssign", Pulls::assign);
        scenarios.put("liteCommit", Pulls::commit);
        scenarios.put("pullBlocking", Pulls::blocking);
        scenarios.put("pullSendBack", Pulls::sendBack);
    }

    private static DefaultLitePullConsumer lite(World world) {
        DefaultLitePullConsumer consumer = new DefaultLitePullConsumer(world.group);
        consumer.setNamesrvAddr(world.nameServer);
        consumer.setInstanceName(World.instance());
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        world.closing(consumer::shutdown);
        return consumer;
    }

    /** Ten messages into each queue. */
    private static Map<Integer, MessageQueue> fill(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        Map<Integer, MessageQueue> queues = new TreeMap<>();
        // A route, and with it the topic.
        producer.send(world.message("warm-up"));
        for (MessageQueue queue : producer.fetchPublishMessageQueues(world.topic)) {
            queues.put(queue.getQueueId(), queue);
            for (int i = 0; i < 10; i++) producer.send(world.message("q" + queue.getQueueId() + " no " + i), queue);
        }
        return queues;
    }

    private static List<MessageExt> poll(DefaultLitePullConsumer consumer, int count) {
        List<MessageExt> got = new ArrayList<>();
        long deadline = System.currentTimeMillis() + 45_000;
        while (got.size() < count && System.currentTimeMillis() < deadline) {
            for (MessageExt one : consumer.poll(500)) if (!World.text(one).equals("warm-up")) got.add(one);
        }
        for (MessageExt one : consumer.poll(500)) if (!World.text(one).equals("warm-up")) got.add(one);
        return got;
    }

    private static List<String> bodies(Collection<MessageExt> messages) {
        List<String> bodies = new ArrayList<>();
        for (MessageExt one : messages) bodies.add(World.text(one));
        return bodies;
    }

    /** Queues chosen by the program: each in order, from where it seeks, paused and resumed. */
    private static void assign(World world) throws Exception {
        Map<Integer, MessageQueue> queues = fill(world);
        DefaultLitePullConsumer consumer = lite(world);
        consumer.setAutoCommit(false);
        consumer.start();
        MessageQueue one = queues.get(1);
        World.expect(consumer.fetchMessageQueues(world.topic).size() == 4, "four queues");
        consumer.assign(Collections.singletonList(one));
        consumer.seekToBegin(one);
        List<String> wanted = new ArrayList<>();
        for (int i = 0; i < 10; i++) wanted.add("q1 no " + i);
        List<String> got = bodies(poll(consumer, 10));
        World.expect(got.equals(wanted), "queue 1 in order, not " + got);
        long end = Queries.admin(world).maxOffset(one);
        consumer.seek(one, end - 3);
        got = bodies(poll(consumer, 3));
        World.expect(got.equals(Arrays.asList("q1 no 7", "q1 no 8", "q1 no 9")), "the last three, not " + got);
        consumer.seekToEnd(one);
        World.expect(poll(consumer, 0).isEmpty(), "nothing at the end");
        World.expect(consumer.offsetForTimestamp(one, System.currentTimeMillis() - 3_600_000) == 0, "offset 0 an hour ago");
        consumer.pause(Collections.singletonList(one));
        DefaultMQProducer producer = world.producer();
        producer.send(world.message("q1 awaited"), one);
        got = bodies(poll(consumer, 1));
        World.expect(got.equals(Arrays.asList("q1 awaited")), "what the pull brings that waited before the pause, not " + got);
        producer.send(world.message("q1 paused"), one);
        World.expect(poll(consumer, 0).isEmpty(), "nothing while paused");
        consumer.resume(Collections.singletonList(one));
        got = bodies(poll(consumer, 1));
        World.expect(got.equals(Arrays.asList("q1 paused")), "what came while paused, not " + got);
    }

    /** What is committed counts for the next consumer of the group, and nothing else does. */
    private static void commit(World world) throws Exception {
        Map<Integer, MessageQueue> queues = fill(world);
        MessageQueue two = queues.get(2);
        DefaultLitePullConsumer consumer = lite(world);
        consumer.setAutoCommit(false);
        consumer.start();
        consumer.assign(queues.values());
        for (MessageQueue queue : queues.values()) consumer.seekToBegin(queue);
        World.expect(poll(consumer, 40).size() == 40, "forty messages");
        Map<MessageQueue, Long> offsets = new HashMap<>();
        long end = Queries.admin(world).maxOffset(two);
        offsets.put(two, end - 4);
        consumer.commitSync(offsets, true);
        World.await(20, "the committed offset is the one committed", () -> {
            Long committed = consumer.committed(two);
            return committed != null && committed == end - 4;
        });
        consumer.shutdown();
        DefaultLitePullConsumer next = lite(world);
        next.setAutoCommit(false);
        next.start();
        next.assign(Collections.singletonList(two));
        List<String> got = bodies(poll(next, 4));
        World.expect(got.equals(Arrays.asList("q2 no 6", "q2 no 7", "q2 no 8", "q2 no 9")), "the last four, not " + got);
        World.expect(next.committed(two) == end - 4, "nothing committed by polling");
    }

    private static DefaultMQPullConsumer puller(World world) throws Exception {
        DefaultMQPullConsumer consumer = new DefaultMQPullConsumer(world.group);
        consumer.setNamesrvAddr(world.nameServer);
        consumer.setInstanceName(World.instance());
        consumer.start();
        world.closing(consumer::shutdown);
        return consumer;
    }

    /** A pull that waits at the end of a queue is answered by the message that comes, within a second of it. */
    private static void blocking(World world) throws Exception {
        Map<Integer, MessageQueue> queues = fill(world);
        DefaultMQPullConsumer consumer = puller(world);
        MessageQueue queue = queues.get(3);
        long end = consumer.maxOffset(queue);
        World.expect(consumer.fetchConsumeOffset(queue, true) == 0 || consumer.fetchConsumeOffset(queue, true) == -1, "no offset yet");
        World.expect(consumer.pull(queue, "*", end, 10).getPullStatus() == PullStatus.NO_NEW_MSG, "nothing at the end");
        PullResult below = consumer.pull(queue, "*", end + 100, 10);
        World.expect(below.getPullStatus() == PullStatus.OFFSET_ILLEGAL && below.getNextBeginOffset() == end, "sent back to " + end + ", not " + below);
        DefaultMQProducer producer = world.producer();
        long[] sentAt = new long[1];
        Thread later = new Thread(() -> {
            try {
                Thread.sleep(1_500);
                sentAt[0] = System.currentTimeMillis();
                producer.send(world.message("awaited"), queue);
            } catch (Exception error) {
                System.err.println("later: " + error);
            }
        });
        later.start();
        PullResult found = consumer.pullBlockIfNotFound(queue, "*", end, 10);
        long took = System.currentTimeMillis() - sentAt[0];
        World.expect(found.getPullStatus() == PullStatus.FOUND && bodies(found.getMsgFoundList()).equals(Arrays.asList("awaited")), "the message, not " + found);
        World.expect(sentAt[0] > 0 && took < 3_000, "at once, not after " + took + " ms");
        World.expect(found.getMinOffset() == 0 && found.getMaxOffset() == end + 1 && found.getNextBeginOffset() == end + 1, "the offsets in " + found);
        later.join();
        consumer.updateConsumeOffset(queue, end + 1);
        consumer.getDefaultMQPullConsumerImpl().getOffsetStore().persist(queue);
        World.await(20, "the offset is stored", () -> consumer.fetchConsumeOffset(queue, true) == end + 1);
    }

    /** A pulled message sent back by hand comes again from the retry topic, counted. */
    private static void sendBack(World world) throws Exception {
        Map<Integer, MessageQueue> queues = fill(world);
        DefaultMQPullConsumer consumer = puller(world);
        MessageExt first = consumer.pull(queues.get(0), "*", consumer.maxOffset(queues.get(0)) - 1, 1).getMsgFoundList().get(0);
        consumer.sendMessageBack(first, 1);
        MessageQueue retry = new MessageQueue("%RETRY%" + world.group, queues.get(0).getBrokerName(), 0);
        // The client looks for a route where it has none, every 30 s at most.
        consumer.fetchSubscribeMessageQueues(retry.getTopic());
        List<MessageExt> again = new ArrayList<>();
        World.await(45, "it is in the retry topic", () -> {
            PullResult result = consumer.pull(retry, "*", 0, 10);
            if (result.getPullStatus() == PullStatus.FOUND) again.addAll(result.getMsgFoundList());
            return !again.isEmpty();
        });
        World.expect(again.size() == 1 && World.text(again.get(0)).equals("q0 no 9") && again.get(0).getReconsumeTimes() == 1, "the message, counted: " + again);
        World.expect(world.topic.equals(again.get(0).getProperty("RETRY_TOPIC")), "its topic in " + again.get(0));
    }
}
