import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageRequestMode;
import org.apache.rocketmq.remoting.protocol.heartbeat.MessageModel;
import org.apache.rocketmq.remoting.protocol.subscription.SubscriptionGroupConfig;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** What 5.x names differently, and what only it can do. */
final class Version {
    static void add(Map<String, Scenario> scenarios) {
        scenarios.put("timer", Version::timer);
        scenarios.put("recall", Version::recall);
        scenarios.put("pop", Version::pop);
        scenarios.put("brokerRebalance", Version::brokerRebalance);
        scenarios.put("adminLists", Version::lists);
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

    static void createTopic(DefaultMQProducer producer, String topic, int queues) throws Exception {
        producer.createTopic(producer.getCreateTopicKey(), topic, queues, new java.util.HashMap<>());
    }

    static void deleteRoute(DefaultMQAdminExt admin, String nameServer, String cluster, String topic) throws Exception {
        admin.deleteTopicInNameServer(java.util.Collections.singleton(nameServer), cluster, topic);
    }

    static SubscriptionGroupConfig group(String name) {
        SubscriptionGroupConfig config = new SubscriptionGroupConfig();
        config.setGroupName(name);
        return config;
    }

    /** Two consumers take messages one by one from the same queues; what fails comes again after its time. */
    private static void pop(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        producer.send(world.message("warm-up"));
        DefaultMQAdminExt admin = Queries.admin(world);
        admin.setMessageRequestMode(world.nameServer, world.topic, world.group, MessageRequestMode.POP, 4, 3_000);
        Map<String, AtomicInteger> byMember = new ConcurrentHashMap<>();
        List<DefaultMQPushConsumer> members = new ArrayList<>();
        for (String member : Arrays.asList("one", "two")) {
            DefaultMQPushConsumer consumer = world.consumer(world.group, "*");
            consumer.setClientRebalance(false);
            consumer.setPopInvisibleTime(10_000);
            consumer.registerMessageListener((List<MessageExt> messages, ConsumeConcurrentlyContext context) -> {
                byMember.computeIfAbsent(member, name -> new AtomicInteger()).addAndGet(messages.size());
                MessageExt first = messages.get(0);
                if (World.text(first).equals("fails 7") && first.getReconsumeTimes() == 0) return ConsumeConcurrentlyStatus.RECONSUME_LATER;
                world.received.addAll(messages);
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
            consumer.start();
            members.add(consumer);
        }
        world.expectExactly(Arrays.asList("warm-up"));
        World.await(40, "both take from queues", () -> {
            for (DefaultMQPushConsumer member : members) {
                if (member.getDefaultMQPushConsumerImpl().consumerRunningInfo().getMqPopTable().keySet().stream()
                    .noneMatch(queue -> queue.getTopic().equals(world.topic))) return false;
            }
            return true;
        });
        List<String> bodies = new ArrayList<>();
        for (int i = 0; i < 100; i++) {
            String body = (i == 7 ? "fails " : "popped ") + i;
            bodies.add(body);
            producer.send(world.message(body));
        }
        world.expectExactly(bodies);
        World.expect(byMember.size() == 2, "work for both, not " + byMember);
        World.await(30, "the group has consumed everything", () -> admin.examineConsumeStats(world.group).computeTotalDiff() == 0);
    }

    /** Many topics and many groups in one request. */
    private static void lists(World world) throws Exception {
        DefaultMQAdminExt admin = Queries.admin(world);
        String broker = Queries.broker(admin);
        List<TopicConfig> topics = new ArrayList<>();
        List<SubscriptionGroupConfig> groups = new ArrayList<>();
        for (int n = 1; n <= 3; n++) {
            topics.add(new TopicConfig(world.topic + "-" + n, n, n, 6));
            SubscriptionGroupConfig group = group(world.group + "-" + n);
            group.setRetryMaxTimes(n);
            groups.add(group);
        }
        admin.createAndUpdateTopicConfigList(broker, topics);
        admin.createAndUpdateSubscriptionGroupConfigList(broker, groups);
        for (int n = 1; n <= 3; n++) {
            World.expect(admin.examineTopicConfig(broker, world.topic + "-" + n).getReadQueueNums() == n, n + " queues");
            World.expect(admin.examineSubscriptionGroupConfig(broker, world.group + "-" + n).getRetryMaxTimes() == n, n + " retries");
        }
        DefaultMQProducer producer = world.producer();
        String topic = world.topic + "-2";
        producer.send(new Message(topic, "asked".getBytes()));
        DefaultMQPushConsumer consumer = world.consumer(world.group + "-2", "*");
        consumer.subscribe(topic, "*");
        world.listening(consumer);
        world.expectExactly(Arrays.asList("asked"));
        World.await(20, "the topic is among the group's", () -> admin.queryTopicsByConsumer(world.group + "-2").getTopicList().contains(topic));
        World.expect(admin.querySubscription(world.group + "-2", topic).getSubString().equals("*"), "what the group wants of the topic");
        World.expect(admin.cleanExpiredConsumerQueueByAddr(broker) && admin.cleanUnusedTopicByAddr(broker) && admin.deleteExpiredCommitLogByAddr(broker), "tidying on demand");
    }

    /** The broker shares out the queues, and the members pull. */
    private static void brokerRebalance(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        producer.send(world.message("warm-up"));
        for (int member = 0; member < 2; member++) {
            DefaultMQPushConsumer consumer = world.consumer(world.group, "*");
            consumer.setClientRebalance(false);
            consumer.registerMessageListener((List<MessageExt> messages, ConsumeConcurrentlyContext context) -> {
                world.received.addAll(messages);
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
            consumer.start();
        }
        World.expect(World.text(world.next(45, "for the first")).equals("warm-up"), "the warm-up");
        Thread.sleep(25_000);
        world.received.clear();
        List<String> bodies = new ArrayList<>();
        for (int i = 0; i < 50; i++) {
            bodies.add("shared out " + i);
            producer.send(world.message("shared out " + i));
        }
        world.expectExactly(bodies);
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
