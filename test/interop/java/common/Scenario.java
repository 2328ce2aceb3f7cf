/** One row of the table. It throws when the broker did not do what the client library promises its users. */
interface Scenario {
    void run(World world) throws Exception;
}
