import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

/** Runs scenarios against the broker: Driver NAMESERVER PREFIX [SCENARIO...]. Prints `RESULT scenario ok|failed why`. */
public final class Driver {
    public static void main(String[] arguments) throws Exception {
        Map<String, Scenario> scenarios = new LinkedHashMap<>();
        Sends.add(scenarios);
        Consumes.add(scenarios);
        Filters.add(scenarios);
        Transactions.add(scenarios);
        Queries.add(scenarios);
        Messages.add(scenarios);
        Delays.add(scenarios);
        Rewinds.add(scenarios);
        Pulls.add(scenarios);
        Groups.add(scenarios);
        Settings.add(scenarios);
        Admins.add(scenarios);
        Version.add(scenarios);
        for (int i = 2; i < arguments.length; i++) {
            if (!scenarios.containsKey(arguments[i])) throw new IllegalArgumentException("no scenario " + arguments[i]);
        }
        if (arguments.length > 2) scenarios.keySet().retainAll(java.util.Arrays.asList(arguments));
        // The restart hits every connection, so it runs when nothing else does.
        Scenario restart = scenarios.remove("restart");
        ExecutorService pool = Executors.newFixedThreadPool(8);
        scenarios.forEach((name, scenario) -> pool.execute(() -> run(arguments, name, scenario)));
        pool.shutdown();
        pool.awaitTermination(10, TimeUnit.MINUTES);
        if (restart != null) run(arguments, "restart", restart);
        System.out.println("DONE");
        System.out.flush();
        System.exit(0);
    }

    private static void run(String[] arguments, String name, Scenario scenario) {
        String outcome = "ok";
        try (World world = new World(arguments[0], arguments[1], name)) {
            scenario.run(world);
        } catch (Throwable error) {
            StringWriter trace = new StringWriter();
            error.printStackTrace(new PrintWriter(trace));
            outcome = "failed " + trace.toString().replaceAll("\\s*\\n\\s*", " | ");
        }
        System.out.println("RESULT " + name + " " + outcome);
        System.out.flush();
    }
}
