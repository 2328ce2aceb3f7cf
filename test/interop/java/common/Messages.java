import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** What a message may be made of, and where it may be sent to. */
final class Messages {
    private static final int LIMIT = 4 * 1024 * 1024;

    static void add(Map<String, Scenario> scenarios) {
        scenarios.put("sendToQueue", Messages::toQueue);
        scenarios.put("oddProperties", Messages::oddProperties);
        scenarios.put("unicodeKeysAndTags", Messages::unicode);
        scenarios.put("sizeLimit", Messages::sizeLimit);
        scenarios.put("propertyLimit", Messages::propertyLimit);
        scenarios.put("refusedSends", Messages::refused);
    }

    static final class Answer extends CompletableFuture<SendResult> implements SendCallback {
        @Override
        public void onSuccess(SendResult result) {
            complete(result);
        }

        @Override
        public void onException(Throwable error) {
            completeExceptionally(error);
        }
    }

    /** By selector and by queue, each waited for, called back and one-way: every message in the queue it was meant for. */
    private static void toQueue(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        producer.send(world.message("warm-up"));
        List<MessageQueue> queues = producer.fetchPublishMessageQueues(world.topic);
        World.expect(queues.size() == 4, "four queues, not " + queues);
        List<String> bodies = new ArrayList<>(Arrays.asList("warm-up"));
        List<Answer> answers = new ArrayList<>();
        for (int i = 0; i < 24; i++) {
            MessageQueue queue = queues.get(i % 4);
            Message message = world.message("to queue " + queue.getQueueId() + " no " + i);
            message.putUserProperty("queue", String.valueOf(queue.getQueueId()));
            bodies.add(World.text(message));
            Answer answer = new Answer();
            switch (i / 4) {
                case 0: answer.complete(producer.send(message, queue)); break;
                case 1: producer.send(message, queue, answer); break;
                case 2: producer.sendOneway(message, queue); answer = null; break;
                case 3: answer.complete(producer.send(message, (all, one, at) -> all.get((Integer) at), i % 4)); break;
                case 4: producer.send(message, (all, one, at) -> all.get((Integer) at), i % 4, answer); break;
                default: producer.sendOneway(message, (all, one, at) -> all.get((Integer) at), i % 4); answer = null;
            }
            if (answer == null) continue;
            SendResult sent = answer.get(20, TimeUnit.SECONDS);
            World.expect(sent.getMessageQueue().equals(queue), queue + " in " + sent);
        }
        // Many in one answer-by-callback batch, too.
        List<Message> batch = new ArrayList<>();
        for (int i = 0; i < 5; i++) {
            Message message = world.message("batch " + i);
            message.putUserProperty("queue", "2");
            batch.add(message);
            bodies.add("batch " + i);
        }
        Answer all = new Answer();
        MessageQueue third = queues.stream().filter(one -> one.getQueueId() == 2).findFirst().get();
        producer.send(batch, third, all);
        World.expect(all.get(20, TimeUnit.SECONDS).getOffsetMsgId().split(",").length == 5, "five ids");
        world.listening("*");
        for (MessageExt one : world.gatherExactly(bodies)) {
            String queue = one.getUserProperty("queue");
            World.expect(queue == null || queue.equals(String.valueOf(one.getQueueId())), "the queue it was sent to: " + one);
        }
    }

    /** 0x01 and 0x02 part keys from values in the protocol; everything else must come back as it went. */
    private static void oddProperties(World world) throws Exception {
        Map<String, String> odd = new LinkedHashMap<>();
        odd.put("with space", " leading and trailing ");
        odd.put("json", "{\"a\":[1,\"two\\n\"],\"b\":null}");
        odd.put("controls", "tab\t newline\n return\r null\u0000 escape\u001b delete\u007f");
        odd.put("separators", "a=b;c|d,e\u0003\u001f\u2028\u2029");
        odd.put("schlüssel 键 🔑", "blå 中文 😀 \uFFFD");
        odd.put("backslash", "\\\\ \\u0001 \\x02 \"quoted\" 'single' </script>");
        odd.put("long", "中".repeat(9_000));
        DefaultMQProducer producer = world.producer();
        Message message = world.message("odd");
        odd.forEach(message::putUserProperty);
        producer.send(message);
        List<Message> batch = new ArrayList<>();
        Message member = world.message("odd in a batch");
        odd.forEach((key, value) -> member.putUserProperty(key, value));
        batch.add(member);
        producer.send(batch);
        world.listening("*");
        for (MessageExt got : world.gatherExactly(Arrays.asList("odd", "odd in a batch"))) {
            odd.forEach((key, value) -> World.expect(value.equals(got.getUserProperty(key)), key + " back, not " + got.getUserProperty(key)));
        }
    }

    private static void unicode(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        for (String name : Arrays.asList("größe", "заказ", "注文", "🚀")) {
            Message message = world.message("body " + name);
            message.setTags("tag-" + name);
            message.setKeys("key-" + name + " shared");
            producer.send(message);
        }
        long now = System.currentTimeMillis();
        for (String name : Arrays.asList("größe", "заказ", "注文", "🚀")) {
            List<MessageExt> found = Queries.byKey(producer, world.topic, "key-" + name, 1);
            World.expect(found.size() == 1 && World.text(found.get(0)).equals("body " + name), "one of key-" + name + ", not " + found);
        }
        World.expect(Queries.byKey(producer, world.topic, "shared", 4).size() == 4, "four of key shared");
        world.listening("tag-заказ || tag-🚀");
        for (MessageExt got : world.gatherExactly(Arrays.asList("body заказ", "body 🚀"))) {
            World.expect(got.getBornTimestamp() <= now + 1 && got.getKeys().equals("key-" + got.getTags().substring(4) + " shared"), "its keys: " + got);
        }
    }

    /** Up to 4 MiB of body, uncompressed, and not one byte more. */
    private static void sizeLimit(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        producer.setMaxMessageSize(3 * LIMIT);
        producer.setCompressMsgBodyOverHowmuch(Integer.MAX_VALUE);
        for (int size : new int[] {LIMIT - 1, LIMIT}) {
            byte[] body = new byte[size];
            Arrays.fill(body, (byte) 'x');
            body[0] = (byte) size;
            body[size - 1] = 'z';
            SendResult sent = producer.send(new Message(world.topic, body), 20_000);
            World.expect(sent.getOffsetMsgId() != null, size + " bytes are taken");
        }
        expectCode(13, () -> producer.send(new Message(world.topic, new byte[LIMIT + 1]), 20_000));
        producer.send(world.message("small"));
        world.listening("*");
        List<Integer> sizes = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            MessageExt got = world.next(60, "for message " + i);
            byte[] body = got.getBody();
            sizes.add(body.length);
            World.expect(body.length < 10 || (body[0] == (byte) body.length && body[body.length - 1] == 'z'), "the very bytes of " + body.length);
        }
        sizes.sort(null);
        World.expect(sizes.equals(Arrays.asList(5, LIMIT - 1, LIMIT)), "sizes " + sizes);
    }

    private static void propertyLimit(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        Message fits = world.message("fits");
        fits.putUserProperty("p", "x".repeat(32_000));
        producer.send(fits);
        Message tooMuch = world.message("too much");
        tooMuch.putUserProperty("p", "x".repeat(33_000));
        expectCode(13, () -> producer.send(tooMuch));
        world.listening("*");
        world.expectExactly(Arrays.asList("fits"));
    }

    /** What is refused costs the producer nothing else. */
    private static void refused(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        try {
            producer.send(new Message(world.topic, new byte[0]));
            throw new AssertionError("a message without body was sent");
        } catch (MQClientException expected) {
            // The client itself refuses it.
        }
        producer.send(world.message("warm-up"));
        MessageQueue there = producer.fetchPublishMessageQueues(world.topic).get(0);
        try {
            producer.send(world.message("to nowhere"), new MessageQueue(world.topic, there.getBrokerName(), 99));
            throw new AssertionError("a send to queue 99 was answered with success");
        } catch (MQBrokerException expected) {
            World.expect(expected.getErrorMessage() != null && expected.getErrorMessage().contains("99"), "a reason naming the queue: " + expected);
        }
        producer.send(new Message(world.topic, "after".getBytes(StandardCharsets.UTF_8)));
        world.listening("*");
        world.expectExactly(Arrays.asList("warm-up", "after"));
    }

    static void expectCode(int code, World.Closing action) throws Exception {
        try {
            action.close();
        } catch (MQBrokerException error) {
            World.expect(error.getResponseCode() == code, "code " + code + ", not " + error);
            return;
        }
        throw new AssertionError("not refused with " + code);
    }
}
