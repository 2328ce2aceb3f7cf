import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** A producer and a consumer for operators' tools to look at: Idle NAMESERVER TOPIC GROUP, until its input ends. */
public final class Idle {
    public static void main(String[] arguments) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer("P" + arguments[2]);
        producer.setNamesrvAddr(arguments[0]);
        producer.start();
        for (int i = 0; i < 8; i++) producer.send(new Message(arguments[1], "Tag", "Key" + i, new byte[] {1, 2, 3}));
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(arguments[2]);
        consumer.setNamesrvAddr(arguments[0]);
        consumer.subscribe(arguments[1], "*");
        consumer.registerMessageListener((List<MessageExt> messages, ConsumeConcurrentlyContext context) ->
            ConsumeConcurrentlyStatus.CONSUME_SUCCESS);
        consumer.start();
        World.await(45, "four queues are assigned", () -> consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl()
            .getProcessQueueTable().size() >= 5);
        System.out.println("READY");
        System.out.flush();
        while (System.in.read() >= 0) Thread.yield();
        consumer.shutdown();
        producer.shutdown();
        System.exit(0);
    }
}
