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
        scenarios.put("transactionTakeOver", Transactions::takeOver);
        scenarios.put("transactionTagged", Transactions::tagged);
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

    /** The producer that sent the halves is gone; another one of its group is asked, once it has told the broker that it is there. */
    private static void takeOver(World world) throws Exception {
        TransactionMQProducer first = producer(world, new AtomicInteger());
        first.sendMessageInTransaction(world.message("unknown commit"), null);
        first.sendMessageInTransaction(world.message("unknown rollback"), null);
        first.shutdown();
        AtomicInteger checks = new AtomicInteger();
        TransactionMQProducer second = producer(world, checks);
        // A Java producer knows no broker before its first send, and sends no heartbeat.
        second.send(world.message("plain"));
        world.listening("*");
        World.await(90, "both were asked of the second", () -> checks.get() >= 2);
        world.expectExactly(Arrays.asList("plain", "unknown commit"));
    }

    /** Tag, keys and properties survive the two steps of a transaction. */
    private static void tagged(World world) throws Exception {
        AtomicInteger checks = new AtomicInteger();
        TransactionMQProducer producer = producer(world, checks);
        Message message = world.message("commit never");
        message.setTags("paid");
        message.setKeys("order-1 order-2");
        message.putUserProperty("amount", "10 €");
        TransactionSendResult sent = producer.sendMessageInTransaction(message, null);
        producer.sendMessageInTransaction(world.message("commit other"), null);
        world.listening("paid");
        MessageExt got = world.gatherExactly(Arrays.asList("commit never")).get(0);
        World.expect(got.getTags().equals("paid") && got.getKeys().equals("order-1 order-2") && "10 €".equals(got.getUserProperty("amount")), "as it was sent, not " + got);
        World.expect(got.getTransactionId().equals(sent.getTransactionId()), "its transaction id, not " + got);
        World.expect(Queries.byKey(producer, world.topic, "order-2", 1).size() == 1, "one message of its key");
        World.expect(checks.get() == 0, "no check of what is decided");
    }
}
