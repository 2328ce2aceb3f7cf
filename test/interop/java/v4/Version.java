import java.util.Map;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.protocol.heartbeat.MessageModel;
import org.apache.rocketmq.common.subscription.SubscriptionGroupConfig;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** What 4.9 names differently. */
final class Version {
    static void add(Map<String, Scenario> scenarios) {}

    static void broadcasting(DefaultMQPushConsumer consumer) {
        consumer.setMessageModel(MessageModel.BROADCASTING);
    }

    static DefaultMQProducer traced(String group) {
        return new DefaultMQProducer(group, true);
    }

    static MessageExt view(DefaultMQProducer producer, String topic, String id) throws Exception {
        return producer.viewMessage(topic, id);
    }

    static Object consumeDirectly(DefaultMQAdminExt admin, String group, String clientId, String topic, String id) throws Exception {
        return admin.consumeMessageDirectly(group, clientId, topic, id);
    }

    static void createTopic(DefaultMQProducer producer, String topic, int queues) throws Exception {
        producer.createTopic(producer.getCreateTopicKey(), topic, queues);
    }

    static void deleteRoute(DefaultMQAdminExt admin, String nameServer, String cluster, String topic) throws Exception {
        admin.deleteTopicInNameServer(java.util.Collections.singleton(nameServer), topic, cluster);
    }

    static SubscriptionGroupConfig group(String name) {
        SubscriptionGroupConfig config = new SubscriptionGroupConfig();
        config.setGroupName(name);
        return config;
    }
}
