import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.RequestCallback;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.client.utils.MessageUtil;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Every way to send, each checked by a consumer. */
final class Sends {
    static void add(Map<String, Scenario> scenarios) {
        scenarios.put("sendSync", Sends::sync);
        scenarios.put("sendAsync", Sends::async);
        scenarios.put("sendOneway", Sends::oneway);
        scenarios.put("sendBatch", Sends::batch);
        scenarios.put("compressed", Sends::compressed);
        scenarios.put("tags", Sends::tags);
        scenarios.put("delayLevel", Sends::delayLevel);
        scenarios.put("requestReply", Sends::requestReply);
        scenarios.put("trace", Sends::trace);
    }

    private static void sync(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        List<String> bodies = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            Message message = world.message("sync " + i);
            message.setKeys("key-" + i);
            message.putUserProperty("colour", "blå");
            SendResult sent = producer.send(message);
            World.expect(sent.getSendStatus() == SendStatus.SEND_OK, "SEND_OK, not " + sent);
            // 56 digits on a host whose own address is IPv6.
            World.expect(sent.getMsgId().matches("[0-9A-F]{32}|[0-9A-F]{56}"), "a unique id in " + sent);
            World.expect(sent.getOffsetMsgId().length() == 32, "an offset id in " + sent);
            bodies.add("sync " + i);
        }
        world.listening("*");
        List<MessageExt> got = new ArrayList<>();
        for (int i = 0; i < 20; i++) got.add(world.next(45, "for message " + i));
        world.received.addAll(got);
        world.expectExactly(bodies);
        World.expect(got.stream().allMatch(one -> "blå".equals(one.getUserProperty("colour"))), "user properties");
    }

    private static void async(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        List<String> bodies = new ArrayList<>();
        List<CompletableFuture<SendResult>> answers = new ArrayList<>();
        for (int i = 0; i < 100; i++) {
            CompletableFuture<SendResult> answer = new CompletableFuture<>();
            answers.add(answer);
            bodies.add("async " + i);
            producer.send(world.message("async " + i), new SendCallback() {
                @Override
                public void onSuccess(SendResult result) {
                    answer.complete(result);
                }

                @Override
                public void onException(Throwable error) {
                    answer.completeExceptionally(error);
                }
            });
        }
        for (CompletableFuture<SendResult> answer : answers) answer.get(20, TimeUnit.SECONDS);
        world.listening("*");
        world.expectExactly(bodies);
    }

    private static void oneway(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        producer.send(world.message("first"));
        List<String> bodies = new ArrayList<>(Arrays.asList("first"));
        for (int i = 0; i < 20; i++) {
            bodies.add("oneway " + i);
            producer.sendOneway(world.message("oneway " + i));
        }
        world.listening("*");
        world.expectExactly(bodies);
    }

    private static void batch(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        List<Message> messages = new ArrayList<>();
        List<String> bodies = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            Message message = world.message("batch " + i);
            message.setTags("T" + i % 2);
            message.setKeys("batch-key-" + i);
            messages.add(message);
            bodies.add("batch " + i);
        }
        SendResult sent = producer.send(messages);
        World.expect(sent.getOffsetMsgId().split(",").length == 10, "ten offset ids in " + sent);
        World.expect(sent.getMsgId().split(",").length == 10, "ten ids in " + sent);
        world.listening("*");
        Set<String> ids = new TreeSet<>();
        List<MessageExt> got = new ArrayList<>();
        for (int i = 0; i < 10; i++) got.add(world.next(45, "for batch message " + i));
        for (MessageExt one : got) ids.add(one.getMsgId());
        World.expect(ids.size() == 10, "ten different ids, not " + ids);
        World.expect(ids.equals(new TreeSet<>(Arrays.asList(sent.getMsgId().split(",")))), "the ids of the answer");
        world.received.addAll(got);
        world.expectExactly(bodies);
    }

    private static void compressed(World world) throws Exception {
        StringBuilder body = new StringBuilder();
        while (body.length() < 100_000) body.append("compressible ").append(body.length() % 97);
        world.producer().send(world.message(body.toString()));
        world.listening("*");
        world.expectExactly(Arrays.asList(body.toString()));
    }

    private static void tags(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        for (String tag : Arrays.asList("A", "B", "C", "中文", "AaBB", "BBAa")) {
            Message message = world.message("tagged " + tag);
            message.setTags(tag);
            producer.send(message);
        }
        producer.send(world.message("untagged"));
        // AaBB and BBAa have the same hash code.
        world.listening("A || 中文 || BBAa");
        world.expectExactly(Arrays.asList("tagged A", "tagged 中文", "tagged BBAa"));
    }

    private static void delayLevel(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        producer.send(world.message("now"));
        world.listening("*");
        World.expect(World.text(world.next(45, "for the first")).equals("now"), "the message without delay");
        Message message = world.message("later");
        message.setDelayTimeLevel(2);
        long before = System.currentTimeMillis();
        producer.send(message);
        MessageExt got = world.next(30, "for the delayed one");
        long took = System.currentTimeMillis() - before;
        World.expect(took >= 4_900 && took < 15_000, "5 s, not " + took + " ms");
        World.expect(World.text(got).equals("later") && got.getTopic().equals(world.topic), "topic and body back");
    }

    private static void requestReply(World world) throws Exception {
        DefaultMQProducer answering = world.started(new DefaultMQProducer("PA" + world.group));
        DefaultMQProducer asking = world.producer();
        // Not by the asking one: it sends the heartbeat its answers need when it first looks for the topic.
        answering.send(world.message("warm-up"));
        org.apache.rocketmq.client.consumer.DefaultMQPushConsumer consumer = world.consumer(world.group, "ask");
        consumer.registerMessageListener((List<MessageExt> messages, org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext context) -> {
            for (MessageExt one : messages) {
                try {
                    answering.send(MessageUtil.createReplyMessage(one, ("re: " + World.text(one)).getBytes()));
                } catch (Exception error) {
                    System.err.println("reply: " + error);
                }
            }
            return org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        CompletableFuture<Message> answer = new CompletableFuture<>();
        Message question = world.message("question");
        question.setTags("ask");
        asking.request(question, new RequestCallback() {
            @Override
            public void onSuccess(Message message) {
                // The library also calls this when the question was sent, without a message.
                if (message != null) answer.complete(message);
            }

            @Override
            public void onException(Throwable error) {
                answer.completeExceptionally(error);
            }
        }, 60_000);
        World.expect(World.text(answer.get(70, TimeUnit.SECONDS)).equals("re: question"), "the answer");
    }

    private static void trace(World world) throws Exception {
        DefaultMQProducer producer = Version.traced("P" + world.group);
        world.started(producer);
        SendResult sent = producer.send(world.message("traced"));
        org.apache.rocketmq.client.consumer.DefaultMQPushConsumer reader = world.consumer("T" + world.group, "*");
        reader.unsubscribe(world.topic);
        reader.subscribe("RMQ_SYS_TRACE_TOPIC", "*");
        reader.registerMessageListener((List<MessageExt> messages, org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext context) -> {
            world.received.addAll(messages);
            return org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        reader.start();
        World.await(60, "the trace of " + sent.getMsgId() + " is there", () -> {
            MessageExt one = world.received.poll(1, TimeUnit.SECONDS);
            return one != null && World.text(one).contains(sent.getMsgId());
        });
    }
}
