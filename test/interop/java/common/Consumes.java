import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** Every way to consume. */
final class Consumes {
    static void add(Map<String, Scenario> scenarios) {
        scenarios.put("clustering", Consumes::clustering);
        scenarios.put("broadcasting", Consumes::broadcasting);
        scenarios.put("orderly", Consumes::orderly);
        scenarios.put("retry", Consumes::retry);
        scenarios.put("deadLetter", Consumes::deadLetter);
        scenarios.put("orderlyRetry", Consumes::orderlyRetry);
        scenarios.put("litePull", Consumes::litePull);
        scenarios.put("restart", Consumes::restart);
    }

    private static void clustering(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        producer.send(world.message("warm-up"));
        Map<String, AtomicInteger> byMember = new ConcurrentHashMap<>();
        List<DefaultMQPushConsumer> members = new ArrayList<>();
        for (String member : Arrays.asList("one", "two")) {
            DefaultMQPushConsumer consumer = world.consumer(world.group, "*");
            consumer.registerMessageListener((List<MessageExt> messages, ConsumeConcurrentlyContext context) -> {
                byMember.computeIfAbsent(member, name -> new AtomicInteger()).addAndGet(messages.size());
                world.received.addAll(messages);
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
            consumer.start();
            members.add(consumer);
        }
        World.expect(World.text(world.next(45, "for the first")).equals("warm-up"), "the warm-up");
        World.await(40, "both members have queues", () -> {
            for (DefaultMQPushConsumer member : members) {
                long own = member.getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable().keySet()
                    .stream().filter(queue -> queue.getTopic().equals(world.topic)).count();
                if (own != 2) return false;
            }
            return true;
        });
        // While the members agreed on their queues, both may have read it.
        world.received.clear();
        List<String> bodies = new ArrayList<>();
        for (int i = 0; i < 100; i++) {
            bodies.add("shared " + i);
            producer.send(world.message("shared " + i));
        }
        world.expectExactly(bodies);
        World.expect(byMember.size() == 2, "work for both, not " + byMember);
        members.get(0).shutdown();
        World.await(40, "the one left has all queues", () -> members.get(1).getDefaultMQPushConsumerImpl()
            .getRebalanceImpl().getProcessQueueTable().keySet().stream()
            .filter(queue -> queue.getTopic().equals(world.topic)).count() == 4);
        List<String> rest = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            rest.add("alone " + i);
            producer.send(world.message("alone " + i));
        }
        world.expectExactly(rest);
    }

    private static void broadcasting(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        List<String> bodies = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            bodies.add("to all " + i);
            producer.send(world.message("to all " + i));
        }
        for (int member = 0; member < 2; member++) {
            DefaultMQPushConsumer consumer = world.consumer(world.group, "*");
            Version.broadcasting(consumer);
            consumer.registerMessageListener((List<MessageExt> messages, ConsumeConcurrentlyContext context) -> {
                world.received.addAll(messages);
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
            consumer.start();
        }
        List<String> twice = new ArrayList<>(bodies);
        twice.addAll(bodies);
        world.expectExactly(twice);
    }

    private static void orderly(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        producer.send(world.message("warm-up"));
        List<MessageQueue> queues = producer.fetchPublishMessageQueues(world.topic);
        for (int i = 0; i < 100; i++) {
            producer.send(world.message("order " + i), (all, message, key) -> queues.get((Integer) key), i % 2);
        }
        Map<Integer, List<Integer>> seen = new ConcurrentHashMap<>();
        AtomicInteger failures = new AtomicInteger();
        AtomicInteger count = new AtomicInteger();
        for (int member = 0; member < 2; member++) {
            DefaultMQPushConsumer consumer = world.consumer(world.group, "*");
            consumer.setSuspendCurrentQueueTimeMillis(100);
            consumer.setConsumeMessageBatchMaxSize(1);
            consumer.registerMessageListener((List<MessageExt> messages, ConsumeOrderlyContext context) -> {
                String body = World.text(messages.get(0));
                if (body.equals("warm-up")) return ConsumeOrderlyStatus.SUCCESS;
                int number = Integer.parseInt(body.substring(6));
                // A failure must hold the queue, not let later ones pass.
                if (number == 20 && failures.incrementAndGet() <= 2) {
                    return ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT;
                }
                seen.computeIfAbsent(number % 2, key -> new CopyOnWriteArrayList<>()).add(number);
                count.incrementAndGet();
                return ConsumeOrderlyStatus.SUCCESS;
            });
            consumer.start();
        }
        World.await(60, "all hundred came", () -> count.get() >= 100);
        for (List<Integer> numbers : seen.values()) {
            List<Integer> sorted = new ArrayList<>(numbers);
            sorted.sort(null);
            World.expect(sorted.equals(numbers) && numbers.size() == 50, "each key in order, not " + numbers);
        }
    }

    private static void retry(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        String id = producer.send(world.message("twice")).getMsgId();
        DefaultMQPushConsumer consumer = world.consumer(world.group, "*");
        consumer.registerMessageListener((List<MessageExt> messages, ConsumeConcurrentlyContext context) -> {
            world.received.addAll(messages);
            context.setDelayLevelWhenNextConsume(1);
            return messages.get(0).getReconsumeTimes() < 2
                ? ConsumeConcurrentlyStatus.RECONSUME_LATER
                : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        for (int times = 0; times < 3; times++) {
            MessageExt got = world.next(60, "for attempt " + times);
            World.expect(got.getReconsumeTimes() == times, times + " retries, not " + got);
            World.expect(got.getTopic().equals(world.topic), "its own topic, not " + got.getTopic());
            World.expect(got.getMsgId().equals(id), "its own id, not " + got.getMsgId());
        }
    }

    private static void deadLetter(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        producer.send(world.message("poison"));
        DefaultMQPushConsumer consumer = world.consumer(world.group, "*");
        consumer.setMaxReconsumeTimes(1);
        AtomicInteger attempts = new AtomicInteger();
        consumer.registerMessageListener((List<MessageExt> messages, ConsumeConcurrentlyContext context) -> {
            attempts.addAndGet(messages.size());
            context.setDelayLevelWhenNextConsume(1);
            return ConsumeConcurrentlyStatus.RECONSUME_LATER;
        });
        consumer.start();
        World.await(60, "two attempts", () -> attempts.get() == 2);
        expectDead(world, "poison");
        World.expect(attempts.get() == 2, "two attempts, not " + attempts);
    }

    private static void orderlyRetry(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        producer.send(world.message("poison"));
        DefaultMQPushConsumer consumer = world.consumer(world.group, "*");
        consumer.setMaxReconsumeTimes(2);
        consumer.setSuspendCurrentQueueTimeMillis(100);
        consumer.registerMessageListener((List<MessageExt> messages, ConsumeOrderlyContext context) ->
            ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT);
        consumer.start();
        expectDead(world, "poison");
    }

    private static void expectDead(World world, String body) throws Exception {
        String topic = "%DLQ%" + world.group;
        // Until the first dead letter there is no such topic, and a consumer looks for a route only every 30 s.
        DefaultMQAdminExt admin = Queries.admin(world);
        World.await(60, topic + " has a route", () -> {
            try {
                return !admin.examineTopicRouteInfo(topic).getQueueDatas().isEmpty();
            } catch (Exception error) {
                return false;
            }
        });
        DefaultMQPushConsumer reader = world.consumer("D" + world.group, "*");
        reader.unsubscribe(world.topic);
        reader.subscribe(topic, "*");
        reader.registerMessageListener((List<MessageExt> messages, ConsumeConcurrentlyContext context) -> {
            world.received.addAll(messages);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        reader.start();
        world.expectExactly(Arrays.asList(body));
    }

    private static void litePull(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        List<String> bodies = new ArrayList<>();
        for (int i = 0; i < 40; i++) {
            bodies.add("lite " + i);
            producer.send(world.message("lite " + i));
        }
        DefaultLitePullConsumer consumer = new DefaultLitePullConsumer(world.group);
        consumer.setNamesrvAddr(world.nameServer);
        consumer.setInstanceName(World.instance());
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(world.topic, "*");
        consumer.start();
        world.closing(consumer::shutdown);
        World.await(45, "forty were polled", () -> {
            world.received.addAll(consumer.poll(1000));
            return world.received.size() >= 40;
        });
        world.expectExactly(bodies);
        // Any one queue, back to its begin: what was there comes again.
        MessageQueue queue = consumer.assignment().iterator().next();
        consumer.seekToBegin(queue);
        World.await(45, "the queue is read again", () -> consumer.poll(1000).stream()
            .anyMatch(one -> one.getQueueId() == queue.getQueueId()));
    }

    private static void restart(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        List<String> bodies = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            bodies.add("before " + i);
            producer.send(world.message("before " + i));
        }
        world.listening("*");
        world.expectExactly(bodies);
        World.ask("restart");
        List<String> after = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            String body = "after " + i;
            World.await(60, body + " was sent", () -> {
                try {
                    producer.send(world.message(body));
                    return true;
                } catch (Exception error) {
                    return false;
                }
            });
            after.add(body);
        }
        List<String> missing = new ArrayList<>(after);
        while (!missing.isEmpty()) missing.remove(World.text(world.next(60, "for " + missing)));
    }
}
