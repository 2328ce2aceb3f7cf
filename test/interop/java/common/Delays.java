import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageAccessor;
import org.apache.rocketmq.common.message.MessageExt;

/** Messages for later: never early, whatever says when. */
final class Delays {
    /** What a busy machine may add. */
    private static final long LATE_MS = 8_000;

    static void add(Map<String, Scenario> scenarios) {
        scenarios.put("delayLevels", Delays::levels);
        scenarios.put("timers", Delays::timers);
        scenarios.put("timerTooFar", Delays::tooFar);
    }

    private interface Preparation {
        /** @return ms from now at which it is due */
        long prepare(Message message);
    }

    private static void send(World world, Map<String, Preparation> all) throws Exception {
        DefaultMQProducer producer = world.producer();
        producer.send(world.message("now"));
        world.listening("*");
        world.expectExactly(Arrays.asList("now"));
        Map<String, Long> dueAt = new LinkedHashMap<>();
        for (Map.Entry<String, Preparation> one : all.entrySet()) {
            Message message = world.message(one.getKey());
            message.putUserProperty("kept", "as it is");
            dueAt.put(one.getKey(), System.currentTimeMillis() + one.getValue().prepare(message));
            producer.send(message);
        }
        List<MessageExt> got = new ArrayList<>();
        for (int i = 0; i < all.size(); i++) {
            MessageExt one = world.next(45, "for message " + i + " of " + all.keySet());
            long now = System.currentTimeMillis();
            long due = dueAt.get(World.text(one));
            World.expect(now >= due, World.text(one) + " not early, but by " + (due - now) + " ms");
            World.expect(now < due + LATE_MS, World.text(one) + " not late, but by " + (now - due) + " ms");
            World.expect(one.getTopic().equals(world.topic) && "as it is".equals(one.getUserProperty("kept")), "the message as it was sent, not " + one);
            if (World.text(one).startsWith("level ")) World.expect(World.text(one).startsWith("level " + one.getDelayTimeLevel() + " "), "its level in " + one);
            got.add(one);
        }
        world.received.addAll(got);
        world.expectExactly(new ArrayList<>(all.keySet()));
    }

    private static void levels(World world) throws Exception {
        Map<String, Preparation> all = new LinkedHashMap<>();
        long[] delays = {1_000, 5_000, 10_000};
        for (int level = 1; level <= 3; level++) {
            for (int n = 0; n < 3; n++) {
                int wanted = level;
                all.put("level " + level + " no " + n, message -> {
                    message.setDelayTimeLevel(wanted);
                    return delays[wanted - 1];
                });
            }
        }
        send(world, all);
    }

    /** By property, as a client older than the methods would. */
    private static Preparation property(String name, long value, long delayMs) {
        return message -> {
            MessageAccessor.putProperty(message, name, String.valueOf(value));
            return delayMs;
        };
    }

    private static void timers(World world) throws Exception {
        Map<String, Preparation> all = new LinkedHashMap<>();
        all.put("seconds", property("TIMER_DELAY_SEC", 3, 3_000));
        all.put("milliseconds", property("TIMER_DELAY_MS", 2_345, 2_345));
        all.put("instant", message -> {
            MessageAccessor.putProperty(message, "TIMER_DELIVER_MS", String.valueOf(System.currentTimeMillis() + 4_000));
            return 4_000;
        });
        all.put("past", message -> {
            MessageAccessor.putProperty(message, "TIMER_DELIVER_MS", String.valueOf(System.currentTimeMillis() - 4_000));
            return 0;
        });
        for (int i = 0; i < 10; i++) all.put("many " + i, property("TIMER_DELAY_MS", 1_000 + 300 * i, 1_000 + 300 * i));
        send(world, all);
    }

    private static void tooFar(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        for (String[] bad : new String[][] {{"TIMER_DELAY_SEC", "999999999"}, {"TIMER_DELAY_MS", "soon"}, {"TIMER_DELIVER_MS", "99999999999999"}}) {
            Message message = world.message("never");
            MessageAccessor.putProperty(message, bad[0], bad[1]);
            Messages.expectCode(13, () -> producer.send(message));
        }
        producer.send(world.message("plain"));
        world.listening("*");
        world.expectExactly(Arrays.asList("plain"));
    }
}
