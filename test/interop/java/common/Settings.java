import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.acl.common.AclClientRPCHook;
import org.apache.rocketmq.acl.common.SessionCredentials;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** Clients with options that change what goes over the wire. */
final class Settings {
    private static final String TRACES = "RMQ_SYS_TRACE_TOPIC";

    static void add(Map<String, Scenario> scenarios) {
        scenarios.put("namespaces", Settings::namespaces);
        scenarios.put("signed", Settings::signed);
        scenarios.put("traceBothSides", Settings::traced);
        scenarios.put("unitName", Settings::unit);
    }

    /** Two tenants with the same names: each gets its own, a retry included, under the name it knows. */
    private static void namespaces(World world) throws Exception {
        List<String> wanted = new ArrayList<>();
        for (String tenant : Arrays.asList("one", "two")) {
            DefaultMQProducer producer = new DefaultMQProducer("P" + world.group);
            producer.setNamespace(tenant);
            world.started(producer);
            producer.send(world.message("for " + tenant));
            producer.send(Arrays.asList(world.message("batch for " + tenant)));
            Message later = world.message("later for " + tenant);
            later.setDelayTimeLevel(1);
            producer.send(later);
            DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(world.group);
            consumer.setNamespace(tenant);
            world.prepared(consumer, "*");
            consumer.registerMessageListener((List<MessageExt> messages, ConsumeConcurrentlyContext context) -> {
                MessageExt first = messages.get(0);
                context.setDelayLevelWhenNextConsume(1);
                if (World.text(first).startsWith("for") && first.getReconsumeTimes() == 0) return ConsumeConcurrentlyStatus.RECONSUME_LATER;
                for (MessageExt one : messages) one.setBody((tenant + " got " + World.text(one) + " of " + one.getTopic()).getBytes());
                world.received.addAll(messages);
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
            consumer.start();
            for (String what : Arrays.asList("for ", "batch for ", "later for ")) wanted.add(tenant + " got " + what + tenant + " of " + world.topic);
        }
        world.expectExactly(wanted, 60);
    }

    /** Requests signed for a broker with access control are served by one that has none. */
    private static void signed(World world) throws Exception {
        AclClientRPCHook hook = new AclClientRPCHook(new SessionCredentials("rocketmq2", "12345678", "token"));
        DefaultMQProducer producer = world.started(new DefaultMQProducer("P" + world.group, hook));
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(world.group, hook, new AllocateMessageQueueAveragely());
        world.listening(world.prepared(consumer, "*"));
        producer.send(world.message("signed"));
        producer.send(Arrays.asList(world.message("signed batch")));
        world.expectExactly(Arrays.asList("signed", "signed batch"));
        DefaultMQAdminExt admin = new DefaultMQAdminExt(hook);
        admin.setNamesrvAddr(world.nameServer);
        admin.setInstanceName(World.instance());
        admin.start();
        world.closing(admin::shutdown);
        World.expect(admin.examineTopicStats(world.topic).getOffsetTable().size() == 4, "the statistics of four queues");
    }

    /** Both sides tell of a message, and what they told is found by its id and by its key. */
    private static void traced(World world) throws Exception {
        DefaultMQProducer producer = world.started(new DefaultMQProducer("P" + world.group, null, true, null));
        DefaultMQPushConsumer consumer =
            new DefaultMQPushConsumer(world.group, null, new AllocateMessageQueueAveragely(), true, null);
        world.listening(world.prepared(consumer, "*"));
        Message message = world.message("traced");
        String key = world.topic + "-key";
        message.setKeys(key);
        SendResult sent = producer.send(message);
        world.expectExactly(Arrays.asList("traced"));
        for (String by : Arrays.asList(sent.getMsgId(), key)) {
            World.await(45, "both sides' traces are found by " + by, () -> {
                StringBuilder told = new StringBuilder();
                for (MessageExt one : Queries.byKey(producer, TRACES, by, 2)) told.append(World.text(one));
                return told.indexOf("Pub") >= 0 && told.indexOf("SubBefore") >= 0 && told.indexOf("SubAfter") >= 0
                    && told.indexOf(sent.getMsgId()) >= 0 && told.indexOf("P" + world.group) >= 0;
            });
        }
    }

    /** A unit's name makes the client id longer, and unit mode marks topics and subscriptions. */
    private static void unit(World world) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer("P" + world.group);
        producer.setUnitName("unit-7");
        producer.setUnitMode(true);
        world.started(producer);
        producer.send(world.message("in a unit"));
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(world.group);
        consumer.setUnitName("unit-7");
        consumer.setUnitMode(true);
        world.listening(world.prepared(consumer, "*"));
        world.expectExactly(Arrays.asList("in a unit"));
        String clientId = Queries.admin(world).examineConsumerConnectionInfo(world.group).getConnectionSet().iterator().next().getClientId();
        World.expect(clientId.endsWith("@unit-7"), "a client id that ends with the unit, not " + clientId);
    }
}
