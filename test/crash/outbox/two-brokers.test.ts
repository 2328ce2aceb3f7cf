import { setTimeout as sleep } from 'node:timers/promises'
import { Admin, PullConsumer } from '@tandemmq/client'
import { Outbox } from '@tandemmq/outbox'
import { startTestDatabase } from '@tandemmq/testing/database'
import pg from 'pg'
import { expect, test } from 'vitest'
import { ChildProgram } from '../../kit/child-program.ts'
import { freePort } from '../../kit/free-port.ts'
import { tandemUp } from '../../kit/tandem-program.ts'
import { temporaryDirectory } from '../../kit/temporary-directory.ts'
import { until } from '../../kit/waiting.ts'
import { prepareOrders } from './outbox-world.ts'

const SETTLE_MS_MAX = 60_000
const READY_MS_MAX = 60_000
const TEST_MS_MAX = 240_000
const TOPICS = ['orders', 'invoices'] as const
const BODIES = ['placed', 'billed'] as const

interface Pair extends AsyncDisposable {
  readonly nameServers: string
  /** A broker's own address; as a name server it may know the other one. */
  readonly addresses: readonly string[]
  start(n: number): Promise<void>
  kill(n: number): Promise<void>
}

/** Two broker programs, each with a topic that the other has not, and whoever tells clients about them. */
async function startPair(folder: string, shape: 'one another' | 'a name server'): Promise<Pair> {
  const ports = [await freePort(), await freePort()]
  const addresses = ports.map((port) => `127.0.0.1:${port}`)
  const names =
    shape === 'a name server'
      ? new ChildProgram({
          file: 'packages/cli/bin/tandem.js',
          args: ['nameserver', '--port', '0'],
          readyLine: /ready on (\S+)/,
        })
      : undefined
  const nameServers = (await names?.ready(READY_MS_MAX)) ?? addresses.join(';')
  const brokers: ChildProgram[] = []
  const pair: Pair = {
    ...{ nameServers, addresses },
    async start(n) {
      const set = {
        ...{ brokerName: `broker-${n}`, nameServers, autoCreateTopic: false },
        ...{ transactionTimeoutMs: 500, transactionCheckIntervalMs: 1_000 },
      }
      const program = tandemUp({ dataDir: `${folder}/${n}`, port: ports[n] ?? 0, set })
      brokers[n] = program
      await program.ready(READY_MS_MAX)
    },
    async kill(n) {
      await brokers[n]?.stop('SIGKILL')
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...brokers, names].map((program) => program?.stop('SIGKILL')))
    },
  }
  // `createTopic` goes to every broker that is known: each topic is made while its broker is alone, or a half of it could go to
  // the other one.
  for (const [n, topic] of TOPICS.entries()) {
    await pair.start(n)
    await using admin = new Admin({ nameServers })
    await admin.start()
    await admin.createTopic(topic)
    await pair.kill(n)
    await until(async () => !(await admin.topics().catch((): string[] => [])).includes(topic), SETTLE_MS_MAX)
  }
  await Promise.all(TOPICS.map((_, n) => pair.start(n)))
  return pair
}

/** Every message that consumers of the topic can see, on whatever broker. */
async function textsIn(nameServers: string, topic: string): Promise<string[]> {
  await using consumer = new PullConsumer({ nameServers, group: 'reader' })
  await consumer.start()
  const texts: string[] = []
  for (const queue of await consumer.queues(topic)) {
    const { messages } = await consumer.pull(queue, 0n)
    texts.push(...messages.map(({ brokerName, body }) => `${brokerName} ${body}`))
  }
  return texts
}

test.each([
  ['one another', 1],
  ['a name server', 0],
] as const)(
  'S2: two messages on two brokers that register with %s, broker %i down at END: both arrive once, the later one after it returns',
  async (shape, down) => {
    using folder = temporaryDirectory('two-brokers')
    await using db = await startTestDatabase({ prepare: prepareOrders })
    await using pair = await startPair(folder.path, shape)
    const { nameServers } = pair
    const up = 1 - down
    await using admin = new Admin({ nameServers })
    await admin.start()
    await using pool = closing(new pg.Pool({ connectionString: db.url, max: 4 }))
    await using outbox = new Outbox({
      ...{ database: pool.pool, nameServers, group: 'orders' },
      // Both halves must arrive, on however slow a machine; nobody but the test sweeps.
      ...{ markerAgeMs: 0, halfTimeoutMs: 30_000, sweepIntervalMs: 3_600_000 },
    })
    await outbox.start()
    const holders = (): Promise<string[]> =>
      admin.transactions().then((open) => open.map(({ brokerName }) => brokerName).toSorted())
    await outbox.transaction(async (trx, messages) => {
      await trx.query("insert into orders values ('o-1', 2)")
      for (const [n, topic] of TOPICS.entries()) messages.send({ topic, body: BODIES[n] ?? '' })
      await until(async () => (await holders()).length === 2, SETTLE_MS_MAX)
      expect(await holders()).toEqual(['broker-0', 'broker-1'])
      // Listed when appended, acknowledged when synced: a kill in between is another story, with a fallback.
      await sleep(1_000)
      await pair.kill(down)
    })
    const expectedOf = (n: number): string[] => [`broker-${n} ${BODIES[n]}`]
    const seen = (n: number): Promise<string[]> =>
      textsIn(nameServers, TOPICS[n] ?? '').catch((error: unknown) => [String(error)])
    const arrives = async (n: number): Promise<void> => {
      let last: string[] = []
      const isThere = async (): Promise<boolean> => (last = await seen(n)).join() === expectedOf(n).join()
      await until(isThere, SETTLE_MS_MAX, () => `${TOPICS[n]}: ${last.join(', ')}`)
    }
    // While the other broker is away.
    await arrives(up)
    // What is not settled keeps its marker, whoever sweeps.
    await expect(outbox.sweep()).rejects.toBeInstanceOf(Error)
    expect((await pool.pool.query("select state from tandem.tx where state <> 'R'")).rows).toHaveLength(1)
    await pair.start(down)
    await arrives(down)
    const isSettled = async (): Promise<boolean> => {
      await outbox.sweep().catch(() => 0)
      const left = await pool.pool.query(
        "select tx_id from tandem.tx where state <> 'R' union all select tx_id from tandem.outbox",
      )
      const open = await holders().catch(() => ['unknown'])
      return left.rows.length + open.length + outbox.stats().pendingHalves === 0
    }
    await until(isSettled, SETTLE_MS_MAX)
    // No half, no row and no END is left that could bring another one.
    expect([await seen(0), await seen(1)]).toEqual([expectedOf(0), expectedOf(1)])
    expect(outbox.stats()).toMatchObject({ anomalies: 0, committed: 1, fallbacks: 0 })
  },
  TEST_MS_MAX,
)

test(
  'of two brokers one dies: transactions to the other keep the half path, those to the dead one take the table until it returns',
  async () => {
    using folder = temporaryDirectory('two-brokers')
    await using db = await startTestDatabase({ prepare: prepareOrders })
    await using pair = await startPair(folder.path, 'one another')
    const { nameServers } = pair
    await using pool = closing(new pg.Pool({ connectionString: db.url, max: 4 }))
    await using outbox = new Outbox({ database: pool.pool, nameServers, group: 'orders', halfTimeoutMs: 5_000 })
    await outbox.start()
    let placed = 0
    const place = (n: number): Promise<void> =>
      outbox.transaction(async (trx, messages) => {
        await trx.query('insert into orders values ($1, 1)', [`o-${++placed}`])
        messages.send({ topic: TOPICS[n] ?? '', body: String(placed) })
      })
    for (const n of [0, 1, 0, 1]) await place(n)
    expect(outbox.stats()).toMatchObject({ fallbacks: 0, committed: 4 })
    await pair.kill(1)
    await until(async () => {
      await place(1)
      return outbox.stats().circuitOpen
    }, SETTLE_MS_MAX)
    expect(outbox.stats().circuitsOpen).toEqual(['broker-1'])
    const before = outbox.stats()
    for (let n = 0; n < 10; n++) await place(0)
    expect(outbox.stats()).toMatchObject({ fallbacks: before.fallbacks, committed: before.committed + 10 })
    const [toDead, toLiving] = [2 + before.committed - 4 + 10, 12]
    for (let n = 0; n < 10; n++) await place(1)
    expect(outbox.stats()).toMatchObject({ fallbacks: before.fallbacks + 10, circuitsOpen: ['broker-1'] })
    const count = async (n: number): Promise<number> =>
      new Set(await textsIn(nameServers, TOPICS[n] ?? '').catch((): string[] => [])).size
    await until(async () => (await count(0)) === toLiving, SETTLE_MS_MAX)
    await pair.start(1)
    await until(async () => (await count(1)) === toDead, SETTLE_MS_MAX)
    await until(async () => !outbox.stats().circuitOpen, SETTLE_MS_MAX)
    await place(1)
    await until(async () => (await count(1)) === toDead + 1, SETTLE_MS_MAX)
    expect((await textsIn(nameServers, TOPICS[1])).length).toBe(toDead + 1)
    expect(outbox.stats()).toMatchObject({ anomalies: 0, fallbacks: before.fallbacks + 10 })
  },
  TEST_MS_MAX,
)

function closing(pool: pg.Pool): AsyncDisposable & { pool: pg.Pool } {
  pool.on('error', () => {})
  return { pool, [Symbol.asyncDispose]: () => pool.end() }
}
