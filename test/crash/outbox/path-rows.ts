/** A row of docs/spec/outbox.md 6.2 and the tests that hold it. */
export interface PathRow {
  readonly id: string
  /** File and a piece of the test's name, as written there. */
  readonly tests: readonly (readonly [string, string])[]
  /** What no test plays. */
  readonly open?: string
}

const outbox = (name: string): string => `packages/outbox/src/${name}.test.ts`
const broker = (name: string): string => `broker/src/transaction/${name}.test.ts`
const here = (name: string): string => `test/crash/outbox/${name}.test.ts`
const kept = 'a half whose acknowledgement is lost: its message comes through the table, once, in its place'

export const pathRows: readonly PathRow[] = [
  { id: 'C0', tests: [[broker('check-lanes'), 'nobody is there for an hour: nothing counts, nothing is given up']] },
  {
    id: 'C1',
    tests: [
      [broker('transaction-service'), 'asks that reach no live producer do not count'],
      [broker('check-lanes'), 'a client that does not answer is passed over while there is another'],
    ],
  },
  { id: 'C2', tests: [[here('other-paths'), 'C2: a resolver killed while it waits for a live marker']] },
  { id: 'C3', tests: [[here('other-paths'), 'C3: Postgres killed while the tombstone is not durable']] },
  { id: 'C4', tests: [[outbox('outbox'), 'a check-back fences a transaction that lost its connection']] },
  { id: 'C6', tests: [[here('other-paths'), 'C6: two producers that answer at once']] },
  {
    id: 'C7',
    tests: [
      [outbox('check-back/resolver'), 'another domain is not answered and leaves no tombstone'],
      [outbox('check-back/resolver'), 'a server that cannot write gives no answer'],
      [outbox('schema/migrate'), 'a dump restored into another cluster is refused until somebody adopts it'],
      [outbox('schema/domain'), 'a copy of the database inside its cluster is refused'],
      [outbox('schema/domain'), 'asked about the original, a copy under a running process'],
    ],
  },
  { id: 'C8', tests: [[here('other-paths'), 'C8: without its synchronous standby nobody is answered']] },
  {
    id: 'C9',
    tests: [
      [outbox('transaction/in-doubt'), 'C9: a serialization failure at COMMIT rejects'],
      [outbox('transaction/in-doubt'), 'C9: a COMMIT answered with tag ROLLBACK and no error is no success'],
      [outbox('transaction/in-doubt'), 'C9: a COMMIT after a swallowed error is no success'],
      [outbox('outbox'), 'a deferred constraint that fails at COMMIT rejects with its SQLSTATE'],
    ],
  },
  {
    id: 'S1',
    tests: [
      [outbox('transaction/join'), 'S1: rolled back to a savepoint older than the join'],
      [here('outbox-scope'), 'S1: killed at %s'],
    ],
  },
  { id: 'S2', tests: [[here('two-brokers'), 'S2: two messages on two brokers']] },
  {
    id: 'S3',
    tests: [
      [outbox('transaction/in-doubt'), 'S3: a prepared transaction answers unknown, also after a crash'],
      [outbox('transaction/in-doubt'), 'S3: ROLLBACK PREPARED rolls its message back'],
    ],
  },
  {
    id: 'F0',
    tests: [
      [here('outbox-crash'), 'killed at %s while the broker comes and goes'],
      [outbox('outbox'), 'a half that is late is rolled back and the message arrives once, through the table'],
      ['test/system/outbox-order.test.ts', kept],
    ],
  },
  {
    id: 'F3',
    tests: [[outbox('relay/relay'), 'a relay that died after sending repeats the message under the same dedup key']],
  },
  { id: 'F4', tests: [['test/crash/outbox-drain.test.ts', 'what committed during an outage arrives once']] },
  { id: 'F5', tests: [[outbox('outbox'), 'a message queues behind those of its key that still wait in the table']] },
  {
    id: 'G0',
    tests: [
      [outbox('outbox'), 'the sweeper leaves the marker of a half that is still pending, however old'],
      [here('sweeper-kills'), '%s: a sweeper killed there, or standing there while others answer for its halves'],
      [here('sweeper-kills'), 'G1: a broker killed between the question and the deletion'],
      [here('outbox-chaos'), 'what was committed arrives once, nothing else does'],
    ],
  },
  { id: 'G3', tests: [[outbox('outbox'), 'the sweeper deletes nothing while a broker does not answer']] },
  {
    id: 'G4',
    tests: [
      [here('other-paths'), 'G4: a process whose clock is %s hours off'],
      [here('database-clock'), 'G4: a database clock that steps by %s'],
      [here('database-clock'), 'G4: a marker swept before the clock stepped back 5 minutes'],
    ],
  },
  { id: 'G5', tests: [[outbox('transaction/in-doubt'), 'G5: a marker found absent 5 minutes after its insert']] },
  { id: 'I0', tests: [[here('inbox-kill'), 'I0 to I4: consumers, Postgres and broker killed at any moment']] },
  {
    id: 'I5',
    tests: [[outbox('inbox/inbox-partitions'), 'of two consumers with one message the second waits for the first']],
  },
  {
    id: 'I6',
    tests: [[outbox('inbox/inbox-partitions'), 'a replay older than the retention is refused unless flagged']],
  },
  { id: 'X1', tests: [[here('outbox-controls'), 'beside an outbox under the same load and crashes that is not']] },
  {
    id: 'X2',
    tests: [[outbox('transaction/in-doubt'), 'X2: synchronous_commit lowered inside the transaction is raised']],
  },
  { id: 'X3', tests: [[here('outbox-failover'), 'X3: failover to an asynchronous standby that lags']] },
  {
    id: 'X4',
    tests: [
      [here('outbox-scope'), 'X4: through pgbouncer with transaction pooling'],
      [here('outbox-scope'), 'X4: pgbouncer killed while the process stands at %s'],
    ],
  },
  { id: 'X5', tests: [[here('logical-switchover'), 'X5: after a logical switchover with lag']] },
  { id: 'X6', tests: [[here('old-snapshot'), 'X6: under an old snapshot a transaction finds its marker']] },
]
