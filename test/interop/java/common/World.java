import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** What one scenario has: names of its own, clients that are closed after it, and what its consumers got. */
final class World implements AutoCloseable {
    interface Closing {
        void close() throws Exception;
    }

    interface Check {
        boolean holds() throws Exception;
    }

    private static final AtomicInteger clients = new AtomicInteger();
    private static final BufferedReader input =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));

    final String nameServer;
    final String topic;
    final String group;
    final BlockingQueue<MessageExt> received = new LinkedBlockingQueue<>();
    private final Deque<Closing> closings = new ArrayDeque<>();

    World(String nameServer, String prefix, String scenario) {
        this.nameServer = nameServer;
        this.topic = prefix + "-" + scenario;
        this.group = "G-" + prefix + "-" + scenario;
    }

    void closing(Closing closing) {
        closings.push(closing);
    }

    @Override
    public void close() {
        while (!closings.isEmpty()) {
            try {
                closings.pop().close();
            } catch (Exception error) {
                System.err.println("closing " + topic + ": " + error);
            }
        }
    }

    static String instance() {
        return "interop-" + clients.incrementAndGet();
    }

    DefaultMQProducer producer() throws MQClientException {
        return started(new DefaultMQProducer("P" + group));
    }

    <P extends DefaultMQProducer> P started(P producer) throws MQClientException {
        producer.setNamesrvAddr(nameServer);
        producer.setInstanceName(instance());
        producer.setSendMsgTimeout(10_000);
        producer.start();
        closing(producer::shutdown);
        return producer;
    }

    /** Not started; reads from the first message on. */
    DefaultMQPushConsumer consumer(String ofGroup, String tags) throws MQClientException {
        return prepared(new DefaultMQPushConsumer(ofGroup), tags);
    }

    DefaultMQPushConsumer prepared(DefaultMQPushConsumer consumer, String tags) throws MQClientException {
        consumer.setNamesrvAddr(nameServer);
        consumer.setInstanceName(instance());
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setConsumeThreadMin(2);
        consumer.setConsumeThreadMax(4);
        consumer.subscribe(topic, tags);
        closing(consumer::shutdown);
        return consumer;
    }

    /** Started; what it gets lands in {@link #received}. */
    DefaultMQPushConsumer listening(String tags) throws MQClientException {
        return listening(consumer(group, tags));
    }

    DefaultMQPushConsumer listening(DefaultMQPushConsumer consumer) throws MQClientException {
        consumer.registerMessageListener((List<MessageExt> messages, org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext context) -> {
            received.addAll(messages);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        return consumer;
    }

    Message message(String body) {
        return new Message(topic, body.getBytes(StandardCharsets.UTF_8));
    }

    /** Waits until every body arrived, then a moment longer for what should not come. */
    void expectExactly(Collection<String> bodies) throws Exception {
        gatherExactly(bodies);
    }

    void expectExactly(Collection<String> bodies, int seconds) throws Exception {
        gatherExactly(bodies, seconds);
    }

    List<MessageExt> gatherExactly(Collection<String> bodies) throws Exception {
        return gatherExactly(bodies, 45);
    }

    /** As {@link #expectExactly}; @return what came, in that order */
    List<MessageExt> gatherExactly(Collection<String> bodies, int seconds) throws Exception {
        List<String> missing = new ArrayList<>(bodies);
        List<MessageExt> got = new ArrayList<>();
        long deadline = System.currentTimeMillis() + seconds * 1000L;
        while (!missing.isEmpty()) {
            MessageExt next = poll(deadline, "waiting for " + sample(missing));
            if (!missing.remove(text(next))) throw new AssertionError("not expected: " + text(next) + " " + next);
            got.add(next);
        }
        MessageExt extra = received.poll(1, java.util.concurrent.TimeUnit.SECONDS);
        if (extra != null) throw new AssertionError("came as well: " + text(extra) + " " + extra);
        return got;
    }

    MessageExt next(int seconds, String what) throws Exception {
        return poll(System.currentTimeMillis() + seconds * 1000L, what);
    }

    private MessageExt poll(long deadline, String what) throws Exception {
        long left = Math.max(1, deadline - System.currentTimeMillis());
        MessageExt next = received.poll(left, java.util.concurrent.TimeUnit.MILLISECONDS);
        if (next == null) throw new AssertionError("timeout " + what);
        return next;
    }

    static void await(int seconds, String what, Check check) throws Exception {
        long deadline = System.currentTimeMillis() + seconds * 1000L;
        while (!check.holds()) {
            if (System.currentTimeMillis() > deadline) throw new AssertionError("timeout waiting until " + what);
            Thread.sleep(50);
        }
    }

    static void expect(boolean holds, String what) {
        if (!holds) throw new AssertionError("expected " + what);
    }

    static String text(Message message) {
        return new String(message.getBody(), StandardCharsets.UTF_8);
    }

    /** Asks the program that started this one for something only it can do, and waits until it is done. */
    static synchronized void ask(String what) throws IOException {
        System.out.println("ASK " + what);
        System.out.flush();
        if (input.readLine() == null) throw new IOException("nobody answered " + what);
    }

    private static String sample(List<String> bodies) {
        return bodies.size() + " bodies, among them " + bodies.get(0);
    }
}
