import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.client.producer.TransactionSendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Half messages and what becomes of them. */
final class Transactions {
    static void add(Map<String, Scenario> scenarios) {
        scenarios.put("transactionCommit", Transactions::commit);
        scenarios.put("transactionRollback", Transactions::rollback);
        scenarios.put("transactionCheckBack", Transactions::checkBack);
    }

    /** Bodies say what to do: the first word at once, the second when asked back. */
    private static TransactionMQProducer producer(World world, AtomicInteger checks) throws Exception {
        TransactionMQProducer producer = new TransactionMQProducer("P" + world.group);
        producer.setTransactionListener(new TransactionListener() {
            @Override
            public LocalTransactionState executeLocalTransaction(Message message, Object argument) {
                return stateOf(World.text(message).split(" ")[0]);
            }

            @Override
            public LocalTransactionState checkLocalTransaction(MessageExt message) {
                World.expect(message.getTopic().equals(world.topic), "the real topic in a check, not " + message);
                checks.incrementAndGet();
                return stateOf(World.text(message).split(" ")[1]);
            }
        });
        return world.started(producer);
    }

    private static LocalTransactionState stateOf(String word) {
        if (word.equals("commit")) return LocalTransactionState.COMMIT_MESSAGE;
        if (word.equals("rollback")) return LocalTransactionState.ROLLBACK_MESSAGE;
        return LocalTransactionState.UNKNOW;
    }

    private static void commit(World world) throws Exception {
        TransactionMQProducer producer = producer(world, new AtomicInteger());
        TransactionSendResult sent = producer.sendMessageInTransaction(world.message("commit never"), null);
        World.expect(sent.getLocalTransactionState() == LocalTransactionState.COMMIT_MESSAGE, "commit in " + sent);
        world.listening("*");
        MessageExt got = world.next(45, "for the committed message");
        World.expect(got.getMsgId().equals(sent.getMsgId()), "the id of the half message");
        world.received.add(got);
        world.expectExactly(Arrays.asList("commit never"));
    }

    private static void rollback(World world) throws Exception {
        TransactionMQProducer producer = producer(world, new AtomicInteger());
        producer.sendMessageInTransaction(world.message("rollback never"), null);
        producer.send(world.message("plain"));
        world.listening("*");
        world.expectExactly(Arrays.asList("plain"));
    }

    private static void checkBack(World world) throws Exception {
        AtomicInteger checks = new AtomicInteger();
        TransactionMQProducer producer = producer(world, checks);
        producer.sendMessageInTransaction(world.message("unknown commit"), null);
        producer.sendMessageInTransaction(world.message("unknown rollback"), null);
        producer.send(world.message("plain"));
        world.listening("*");
        World.await(60, "both were asked back", () -> checks.get() >= 2);
        world.expectExactly(Arrays.asList("plain", "unknown commit"));
    }
}
