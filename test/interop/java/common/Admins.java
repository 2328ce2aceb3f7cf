import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** MQAdminExt, as operators' own programs use it. */
final class Admins {
    static void add(Map<String, Scenario> scenarios) {
        scenarios.put("createTopic", Admins::createTopic);
        scenarios.put("adminTopics", Admins::topics);
        scenarios.put("adminGroups", Admins::groups);
        scenarios.put("adminMembers", Admins::members);
        scenarios.put("adminOffsets", Admins::offsets);
        scenarios.put("adminMessages", Admins::messages);
        scenarios.put("adminBroker", Admins::broker);
    }

    /** The way of an ordinary client, which knows no broker's address. */
    private static void createTopic(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        Version.createTopic(producer, world.topic, 3);
        World.expect(producer.fetchPublishMessageQueues(world.topic).size() == 3, "three queues");
        world.listening("*");
        List<String> bodies = new ArrayList<>();
        for (int i = 0; i < 9; i++) {
            bodies.add("made " + i);
            producer.send(world.message("made " + i));
        }
        world.expectExactly(bodies);
    }

    private static void topics(World world) throws Exception {
        DefaultMQAdminExt admin = Queries.admin(world);
        String broker = Queries.broker(admin);
        TopicConfig config = new TopicConfig(world.topic, 3, 5, 6);
        admin.createAndUpdateTopicConfig(broker, config);
        World.expect(admin.fetchAllTopicList().getTopicList().contains(world.topic), "the topic in the list");
        var route = admin.examineTopicRouteInfo(world.topic);
        World.expect(route.getQueueDatas().get(0).getReadQueueNums() == 3 && route.getQueueDatas().get(0).getWriteQueueNums() == 5, "3 and 5 queues in " + route);
        var stored = admin.examineTopicConfig(broker, world.topic);
        World.expect(stored.getReadQueueNums() == 3 && stored.getWriteQueueNums() == 5 && stored.getPerm() == 6, "the settings, not " + stored);
        var stats = admin.examineTopicStats(world.topic).getOffsetTable();
        World.expect(stats.size() >= 3 && stats.values().stream().allMatch(one -> one.getMinOffset() == 0 && one.getMaxOffset() == 0), "empty queues, not " + stats);
        config.setWriteQueueNums(3);
        config.setPerm(4);
        admin.createAndUpdateTopicConfig(broker, config);
        DefaultMQProducer producer = world.producer();
        try {
            producer.send(world.message("refused"));
            throw new AssertionError("a topic without write permission took a message");
        } catch (MQClientException | MQBrokerException expected) {
            // By the client, which finds no queue, or by the broker.
        }
        config.setPerm(6);
        admin.createAndUpdateTopicConfig(broker, config);
        World.await(45, "the topic is writable again", () -> {
            try {
                producer.send(world.message("taken"));
                return true;
            } catch (MQClientException | MQBrokerException error) {
                return false;
            }
        });
        World.expect(admin.examineTopicStats(world.topic).getOffsetTable().values().stream().mapToLong(one -> one.getMaxOffset()).sum() == 1, "one message");
        String cluster = admin.getTopicClusterList(world.topic).iterator().next();
        World.expect(admin.fetchTopicsByCLuster(cluster).getTopicList().contains(world.topic), "the topic in its cluster");
        World.expect(admin.getAllTopicConfig(broker, 5_000).getTopicConfigTable().containsKey(world.topic), "among all settings");
        World.expect(admin.getUserTopicConfig(broker, false, 5_000).getTopicConfigTable().containsKey(world.topic), "among users' settings");
        admin.createOrUpdateOrderConf(world.topic, "broker-a:3", true);
        World.expect("broker-a:3".equals(admin.getKVConfig("ORDER_TOPIC_CONFIG", world.topic)), "the order of queues");
        admin.deleteTopicInBroker(Collections.singleton(broker), world.topic);
        Version.deleteRoute(admin, world.nameServer, cluster, world.topic);
        try {
            throw new AssertionError("there is still a route: " + admin.examineTopicRouteInfo(world.topic));
        } catch (MQClientException gone) {
            World.expect(gone.getResponseCode() == 17, "17, not " + gone);
        }
    }

    private static void groups(World world) throws Exception {
        DefaultMQAdminExt admin = Queries.admin(world);
        String broker = Queries.broker(admin);
        var config = Version.group(world.group);
        config.setRetryMaxTimes(2);
        config.setConsumeEnable(false);
        admin.createAndUpdateSubscriptionGroupConfig(broker, config);
        var stored = admin.examineSubscriptionGroupConfig(broker, world.group);
        World.expect(stored.getRetryMaxTimes() == 2 && !stored.isConsumeEnable(), "the settings, not " + stored);
        World.expect(admin.getAllSubscriptionGroup(broker, 5_000).getSubscriptionGroupTable().containsKey(world.group), "among all groups");
        World.expect(admin.getUserSubscriptionGroup(broker, 5_000).getSubscriptionGroupTable().containsKey(world.group), "among users' groups");
        world.producer().send(world.message("held back"));
        world.listening("*");
        World.expect(world.received.poll(5, java.util.concurrent.TimeUnit.SECONDS) == null, "nothing for a group that may not consume");
        config.setConsumeEnable(true);
        admin.createAndUpdateSubscriptionGroupConfig(broker, config);
        world.expectExactly(Arrays.asList("held back"));
        world.close();
        DefaultMQAdminExt again = Queries.admin(world);
        again.deleteSubscriptionGroup(broker, world.group, true);
        World.expect(!again.getAllSubscriptionGroup(broker, 5_000).getSubscriptionGroupTable().containsKey(world.group), "no such group any more");
    }

    private static void members(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        producer.send(world.message("one"));
        DefaultMQPushConsumer consumer = world.listening("*");
        DefaultMQAdminExt admin = Queries.admin(world);
        world.expectExactly(Arrays.asList("one"));
        String clientId = consumer.getDefaultMQPushConsumerImpl().getmQClientFactory().getClientId();
        var connections = admin.examineConsumerConnectionInfo(world.group);
        var connection = connections.getConnectionSet().iterator().next();
        World.expect(connections.getConnectionSet().size() == 1 && connection.getClientId().equals(clientId), "the one consumer, not " + connections.getConnectionSet());
        World.expect(connections.getSubscriptionTable().keySet().equals(new TreeSet<>(Arrays.asList(world.topic, "%RETRY%" + world.group))), "two topics, not " + connections.getSubscriptionTable());
        World.expect(String.valueOf(connections.getMessageModel()).equals("CLUSTERING") && String.valueOf(connections.getConsumeType()).equals("CONSUME_PASSIVELY"), "how it consumes");
        World.expect(connection.getLanguage().toString().equals("JAVA") && connection.getVersion() > 0, "language and version");
        var producers = admin.examineProducerConnectionInfo("P" + world.group, world.topic);
        World.expect(producers.getConnectionSet().size() == 1, "one producer, not " + producers.getConnectionSet());
        World.expect(admin.getAllProducerInfo(Queries.broker(admin)).getData().containsKey("P" + world.group), "among all producers");
        World.await(20, "the group is among those that consume the topic", () -> admin.queryTopicConsumeByWho(world.topic).getGroupList().contains(world.group));
        World.expect(admin.getConsumerRunningInfo(world.group, clientId, false).getMqTable().size() >= 4, "its queues");
        World.await(20, "its offsets of four queues are told", () -> admin.getConsumeStatus(world.topic, world.group, clientId).get(clientId).size() == 4);
        consumer.shutdown();
        try {
            throw new AssertionError("a group without members has some: " + admin.examineConsumerConnectionInfo(world.group).getConnectionSet());
        } catch (MQBrokerException offline) {
            World.expect(offline.getResponseCode() == 206, "206, not " + offline);
        }
    }

    private static void offsets(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        List<String> bodies = new ArrayList<>();
        for (int i = 0; i < 16; i++) {
            bodies.add("m" + i);
            producer.send(world.message("m" + i));
        }
        DefaultMQPushConsumer consumer = world.listening("*");
        world.expectExactly(bodies);
        consumer.shutdown();
        producer.send(world.message("left"));
        DefaultMQAdminExt admin = Queries.admin(world);
        var stats = admin.examineConsumeStats(world.group);
        World.expect(stats.computeTotalDiff() == 1, "one left, not " + stats.computeTotalDiff());
        World.expect(admin.examineConsumeStats(world.group, world.topic).getOffsetTable().size() == 4, "four queues");
        World.expect(!admin.queryConsumeTimeSpan(world.topic, world.group).isEmpty(), "a time span");
        World.expect(admin.fetchConsumeStatsInBroker(Queries.broker(admin), false, 5_000).getConsumeStatsList().stream().anyMatch(one -> one.containsKey(world.group)), "the group in the broker's statistics");
        MessageQueue queue = producer.fetchPublishMessageQueues(world.topic).get(0);
        long max = admin.maxOffset(queue);
        // While the topic is new a producer may not know all its queues yet.
        World.expect(admin.minOffset(queue) == 0 && max >= 2, "0 and 2 or more, not " + max);
        World.expect(admin.earliestMsgStoreTime(queue) > System.currentTimeMillis() - 600_000, "the time of the first");
        World.expect(admin.searchOffset(queue, System.currentTimeMillis() + 3_600_000) == max && admin.searchOffset(queue, 0) == 0, "offsets by time");
        admin.updateConsumeOffset(Queries.broker(admin), world.group, queue, 2);
        World.expect(admin.examineConsumeStats(world.group).getOffsetTable().get(queue).getConsumerOffset() == 2, "the offset that was set");
        admin.cloneGroupOffset(world.group, world.group + "-clone", world.topic, true);
        World.await(20, "the clone has the same offset", () -> {
            var cloned = admin.examineConsumeStats(world.group + "-clone", world.topic).getOffsetTable();
            return cloned.get(queue) != null && cloned.get(queue).getConsumerOffset() == 2;
        });
        admin.resetOffsetByTimestampOld(world.group, world.topic, 0, true);
        World.expect(admin.examineConsumeStats(world.group, world.topic).computeTotalDiff() == 17, "all seventeen again");
    }

    private static void messages(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        Message message = world.message("look at me");
        message.setTags("tag");
        message.setKeys("key-of-" + world.topic);
        SendResult sent = producer.send(message);
        world.listening("*");
        world.expectExactly(Arrays.asList("look at me"));
        DefaultMQAdminExt admin = Queries.admin(world);
        for (String id : Arrays.asList(sent.getMsgId(), sent.getOffsetMsgId())) {
            MessageExt one = admin.viewMessage(world.topic, id);
            World.expect(World.text(one).equals("look at me") && one.getQueueId() == sent.getMessageQueue().getQueueId() && one.getQueueOffset() == sent.getQueueOffset(), "the message by " + id + ", not " + one);
        }
        long now = System.currentTimeMillis();
        World.expect(admin.queryMessage(world.topic, "key-of-" + world.topic, 32, now - 600_000, now + 600_000).getMessageList().size() == 1, "one by its key");
        var entry = admin.queryConsumeQueue(Queries.broker(admin), world.topic, sent.getMessageQueue().getQueueId(), sent.getQueueOffset(), 1, world.group);
        World.expect(entry.getQueueData().size() == 1 && entry.getQueueData().get(0).getTagsCode() == "tag".hashCode(), "its entry, not " + entry.getQueueData());
        World.await(30, "the group is said to have consumed it", () ->
            admin.messageTrackDetail(admin.viewMessage(world.topic, sent.getMsgId())).stream().anyMatch(track ->
                track.getConsumerGroup().equals(world.group) && track.getTrackType().toString().startsWith("CONSUMED")));
        for (String nothing : Arrays.asList(sent.getMsgId().replaceAll("..$", "ZZ"), sent.getOffsetMsgId().replaceAll("^(.{16}).*", "$100000FFFFFFFFFF0"))) {
            try {
                MessageExt found = admin.viewMessage(world.topic, nothing);
                World.expect(found == null, "nothing under " + nothing + ", not " + found);
            } catch (MQClientException | MQBrokerException expected) {
                // Told by the client or by the broker.
            }
        }
    }

    private static void broker(World world) throws Exception {
        DefaultMQAdminExt admin = Queries.admin(world);
        String broker = Queries.broker(admin);
        var cluster = admin.examineBrokerClusterInfo();
        String name = admin.getBrokerConfig(broker).getProperty("brokerName");
        World.expect(cluster.getBrokerAddrTable().get(name).getBrokerAddrs().get(0L).equals(broker), "the broker in " + cluster.getBrokerAddrTable());
        World.expect(cluster.getClusterAddrTable().values().stream().anyMatch(names -> names.contains(name)), "the broker in a cluster");
        var figures = admin.fetchBrokerRuntimeStats(broker).getTable();
        for (String figure : Arrays.asList("brokerVersionDesc", "brokerVersion", "putTps", "getTransferredTps", "bootTimestamp", "msgPutTotalTodayNow", "runtime", "commitLogMaxOffset")) {
            World.expect(figures.containsKey(figure), figure + " among " + figures.keySet());
        }
        World.expect(!admin.getNameServerConfig(Arrays.asList(world.nameServer)).isEmpty(), "the name server's settings");
        String key = world.topic;
        admin.createAndUpdateKvConfig("interop", key, "värde 1");
        World.expect(admin.getKVConfig("interop", key).equals("värde 1") && "värde 1".equals(admin.getKVListByNamespace("interop").getTable().get(key)), "the value");
        admin.deleteKvConfig("interop", key);
        try {
            throw new AssertionError("the value is still there: " + admin.getKVConfig("interop", key));
        } catch (MQClientException gone) {
            World.expect(gone.getResponseCode() == 22, "22, not " + gone);
        }
        World.expect(admin.getNameServerAddressList().contains(world.nameServer), "the name server's address");
    }
}
