import { Admin, Producer, PullConsumer } from '@tandemmq/client'
import { Outbox } from '@tandemmq/outbox'
import { startTestDatabase } from '@tandemmq/testing/database'
import { PostgresCluster } from '@tandemmq/testing/postgres-cluster'
import pg from 'pg'
import { ChildProgram } from '../kit/child-program.ts'
import { freePort } from '../kit/free-port.ts'
import { tandemUp } from '../kit/tandem-program.ts'
import { temporaryDirectory } from '../kit/temporary-directory.ts'
import { elapse, until } from '../kit/waiting.ts'

export interface DrainOptions {
  rows: number
  /** Group keys that half of the rows share. */
  keys: number
  /** Processes that drain. */
  processes: number
  /** kill -9 of a draining process, of the broker and of Postgres, one after the other while rows are left. */
  kills: boolean
  /** Rows of the comparison: claimed a hundred at a time, each sent and deleted by itself, ten at a time. 0: none. */
  oneByOneRows: number
}

export interface DrainResult {
  /** Messages that are missing, there twice, or after a later one of their key. */
  missing: number
  repeated: number
  overtaken: number
  anomalies: number
  /** Of the table with its indexes and what it keeps out of line; nobody vacuumed it. */
  tableBytes: number
  figures: Readonly<Record<string, number>>
}

interface Memory {
  rss: number
  heapUsed: number
  external: number
  anomalies: number
}

const TOPIC = 'orders'
export const TABLE_BYTES_MAX = 1_048_576

/**
 * An outage: a service commits while the broker is down, all its messages wait in the table; the broker comes back, and
 * several processes drain it.
 */
export async function drainOutbox(options: DrainOptions): Promise<DrainResult> {
  using folder = temporaryDirectory('outbox-drain')
  // The comparison is about commits, which cost next to nothing where nobody waits for the disk.
  const isOwn = options.oneByOneRows > 0 || options.kills
  const cluster = isOwn ? await PostgresCluster.start({ fsync: 'on' }) : undefined
  await using database = cluster === undefined ? await startTestDatabase() : undefined
  const url = database?.url ?? cluster?.url('postgres') ?? ''
  const pool = new pg.Pool({ connectionString: url, max: 12 })
  // A connection that is still saying goodbye when the database is dropped.
  pool.on('error', () => {})
  const port = await freePort()
  const startBroker = () => tandemUp({ dataDir: folder.path, port })
  let broker = startBroker()
  const drainers: ChildProgram[] = []
  try {
    const address = await broker.ready()
    await prepare(pool, address)
    await broker.stop()
    const args = [url, address, String(options.rows), String(options.keys)]
    const filledAt = Date.now()
    drainers.push(drainer([...args, 'fill'], /^filled$/m))
    await drainers[0]?.ready(60_000 + options.rows)
    const fillSeconds = (Date.now() - filledAt) / 1_000
    while (drainers.length < options.processes) drainers.push(drainer([...args, 'help'], /^ready$/m))
    await Promise.all(drainers.slice(1).map((program) => program.ready()))
    const fullBytes = await tableBytes(pool)
    broker = startBroker()
    await broker.ready(60_000)
    const left = counter(pool, options.rows)
    const kills = [
      async () => {
        await drainers.pop()?.stop('SIGKILL')
        drainers.push(drainer([...args, 'help'], /^ready$/m))
      },
      async () => {
        await broker.stop('SIGKILL')
        broker = startBroker()
        await broker.ready(60_000)
      },
      async () => {
        await cluster?.kill()
        await cluster?.start()
      },
    ]
    const [rowsPerSecond] = await Promise.all([
      drained(left, options.rows),
      options.kills ? inTurn(left, options.rows, kills) : undefined,
    ])
    let bytes = fullBytes
    // The relay gives the space back by itself.
    await until(async () => (bytes = await tableBytes(pool)) < TABLE_BYTES_MAX, 30_000).catch(() => {})
    const memories = drainers.map(memoriesOf)
    for (const program of drainers) await program.stop()
    const order = await readBack(address, options)
    const { oneByOneRows } = options
    const oneByOne = oneByOneRows === 0 ? 0 : await drainOneByOne(pool, address, oneByOneRows)
    return {
      ...order,
      anomalies: memories.flat().reduce((most, { anomalies }) => Math.max(most, anomalies), 0),
      tableBytes: bytes,
      figures: {
        rows: options.rows,
        fillSeconds: Math.round(fillSeconds),
        rowsPerSecond: Math.round(rowsPerSecond),
        ...(oneByOne === 0 ? {} : { oneByOnePerSecond: Math.round(oneByOne), ratio: round(rowsPerSecond / oneByOne) }),
        fullMiB: mebibytes(fullBytes),
        tableBytes: bytes,
        ...memoryFigures(memories[0] ?? []),
      },
    }
  } finally {
    await Promise.all([...drainers, broker].map((program) => program.stop('SIGKILL')))
    await pool.end()
    await cluster?.stop()
  }
}

function drainer(args: string[], readyLine: RegExp): ChildProgram {
  return new ChildProgram({ file: 'test/crash/outbox-drainer.mjs', args, readyLine })
}

async function prepare(pool: pg.Pool, address: string): Promise<void> {
  const outbox = new Outbox({ database: pool, nameServers: address, group: 'orders' })
  await outbox.migrate()
  await pool.query('create table orders (id int)')
  const admin = new Admin({ nameServers: address })
  await admin.start()
  await admin.createTopic(TOPIC, { queues: 8 })
  await admin.close()
}

async function tableBytes(pool: pg.Pool): Promise<number> {
  const { rows } = await pool.query<{ bytes: string }>(`select pg_total_relation_size('tandem.outbox') as bytes`)
  return Number(rows[0]?.bytes)
}

type Left = () => Promise<number>

/** How many rows are left; while Postgres is away, how many there were. */
function counter(pool: pg.Pool, rows: number): Left {
  let seen = rows
  return async () => {
    const counted = pool.query<{ count: string }>('select count(*) from tandem.outbox')
    return (seen = await counted.then(({ rows: [row] }) => Number(row?.count)).catch(() => seen))
  }
}

/** @returns rows per second from the first one that left to the last */
async function drained(left: Left, rows: number): Promise<number> {
  let seen = rows
  await until(async () => (seen = await left()) < rows, 60_000)
  const from = { at: Date.now(), rows: seen }
  // Counting a full table costs what draining it needs: now and then only.
  for (; seen > 0; await elapse(seen > 50_000 ? 2_000 : 20)) {
    seen = await left()
    if (Date.now() - from.at > 120_000 + rows * 5) throw new Error(`${seen} rows are left`)
  }
  return (from.rows * 1_000) / Math.max(1, Date.now() - from.at)
}

/** Each as soon as its share of the rows has left. */
async function inTurn(left: Left, rows: number, acts: (() => Promise<void>)[]): Promise<void> {
  for (const [at, act] of acts.entries()) {
    const share = 1 - (at + 1) / (acts.length + 2)
    await until(async () => (await left()) < rows * share, 120_000 + rows * 5)
    await act()
  }
}

async function readBack(
  address: string,
  { rows }: DrainOptions,
): Promise<Record<'missing' | 'repeated' | 'overtaken', number>> {
  const consumer = new PullConsumer({ nameServers: address, group: 'audit' })
  await consumer.start()
  const seen = new Set<string>()
  const last = new Map<string, number>()
  let repeated = 0
  let overtaken = 0
  for (const queue of await consumer.queues(TOPIC)) {
    const { maxOffset } = await consumer.pull(queue, 0n)
    for (let offset = 0n; offset < maxOffset; ) {
      const result = await consumer.pull(queue, offset, { batchMax: 256 })
      for (const { body } of result.messages) {
        const text = body.toString()
        if (seen.has(text)) repeated++
        seen.add(text)
        const [key = '', place] = text.split(' ')
        if (key === 'free') continue
        if (Number(place) < (last.get(key) ?? 0)) overtaken++
        last.set(key, Number(place))
      }
      offset = result.nextOffset
    }
  }
  await consumer.close()
  return { missing: rows - seen.size, repeated, overtaken }
}

function memoriesOf(program: ChildProgram): Memory[] {
  return [...program.out.matchAll(/^memory (.+)$/gm)].map(([, json]) => JSON.parse(json ?? '') as Memory)
}

/** The most there was, and what lived in the heap at the median of the first and of the last quarter of the drain. */
function memoryFigures(memories: Memory[]): Record<string, number> {
  const most = (what: (memory: Memory) => number): number => mebibytes(Math.max(0, ...memories.map(what)))
  const quarter = Math.ceil(memories.length / 4)
  const median = (part: Memory[]): number =>
    mebibytes(part.map(({ heapUsed }) => heapUsed).toSorted((a, b) => a - b)[Math.floor(part.length / 2)] ?? 0)
  return {
    rssMiB: most(({ rss }) => rss),
    buffersMiB: most(({ external }) => external),
    heapFirstMiB: median(memories.slice(0, quarter)),
    heapLastMiB: median(memories.slice(-quarter)),
  }
}

const mebibytes = (bytes: number): number => round(bytes / 1_048_576)
const round = (value: number): number => Math.round(value * 10) / 10

/** What the relay is compared with: a lease on a hundred rows, then each sent and deleted by itself, ten at a time. */
async function drainOneByOne(pool: pg.Pool, address: string, rows: number): Promise<number> {
  await pool.query(
    `insert into tandem.outbox (tx_id, n, topic, body)
     select gen_random_uuid(), 0, '${TOPIC}', convert_to('one ' || i, 'UTF8') from generate_series(1, $1) i`,
    [rows],
  )
  const producer = new Producer({ nameServers: address, group: 'one-by-one' })
  await producer.start()
  const startedAt = Date.now()
  for (;;) {
    const claimed = await pool.query<{ id: string; body: Buffer }>(
      `update tandem.outbox o set lease_until = clock_timestamp() + interval '30 s' from (
         select id from tandem.outbox where lease_until is null or lease_until < clock_timestamp()
         order by id limit 100 for update skip locked) c where c.id = o.id returning o.id, o.body`,
    )
    if (claimed.rows.length === 0) break
    const waiting = [...claimed.rows]
    await Promise.all(
      Array.from({ length: 10 }, async () => {
        for (let row = waiting.pop(); row !== undefined; row = waiting.pop()) {
          await producer.send({ topic: TOPIC, body: row.body, dedupKey: `one ${row.id}` })
          await pool.query('delete from tandem.outbox where id = $1', [row.id])
        }
      }),
    )
  }
  const seconds = (Date.now() - startedAt) / 1_000
  await producer.close()
  return rows / seconds
}
