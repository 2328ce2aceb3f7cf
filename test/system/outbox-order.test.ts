import { startBroker } from '@tandemmq/broker'
import { Admin, Producer, PushConsumer } from '@tandemmq/client'
import { type HalfSender, Outbox, type OutboxOptions } from '@tandemmq/outbox'
import { startTestDatabase } from '@tandemmq/testing/database'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { ClientHalfSender } from '../../packages/outbox/src/settlement/client-half-sender.ts'
import { temporaryDirectory } from '../kit/temporary-directory.ts'

const SLOWLY = { timeout: 20_000 }
const ORDER_BY = 'customer-7'

let db: Awaited<ReturnType<typeof startTestDatabase>>
let pool: pg.Pool
let address: string
let broker: Awaited<ReturnType<typeof startBroker>>
let seen: string[]
const closers: (() => unknown)[] = []

beforeAll(async () => {
  db = await startTestDatabase()
  pool = new pg.Pool({ connectionString: db.url, max: 20 })
  pool.on('error', () => {}) // A connection may still say goodbye when the database is dropped.
  await pool.query('create table customers (id text primary key, orders int not null)')
  await pool.query(`insert into customers values ('${ORDER_BY}', 0)`)
}, 60_000)

afterAll(async () => {
  await pool.end()
  await db.close()
})

beforeEach(async () => {
  const folder = temporaryDirectory('outbox-order')
  closers.push(() => folder.remove())
  const quick = { transactionTimeoutMs: 300, transactionCheckIntervalMs: 300 }
  broker = await startBroker({ dataDir: folder.path, port: 0, ...quick })
  closers.push(() => broker.close())
  address = broker.address
  seen = []
  const consumer = new PushConsumer({ nameServers: address, group: 'billing', startFrom: 'first', ordered: true })
  consumer.subscribe('orders', '*', (message) => void seen.push(message.text()))
  await consumer.start()
  closers.push(() => consumer.close())
  await pool.query('update customers set orders = 0')
})

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

/** The way to the broker, with the given steps replaced. */
function senderWith(over: Partial<HalfSender>): HalfSender {
  const real = new ClientHalfSender({ nameServers: address, group: 'orders' })
  return {
    start: (check) => real.start(check),
    close: () => real.close(),
    prepare: (message, options) => real.prepare(message, options),
    endMany: (ends) => real.endMany(ends),
    pendingOf: (ids) => real.pendingOf(ids),
    send: (message) => real.send(message),
    ...over,
    ...(over.prepare && { prepare: over.prepare }),
  }
}

async function startOutbox(options: Partial<OutboxOptions<pg.Pool>> = {}): Promise<Outbox<pg.Pool>> {
  const outbox = new Outbox({
    ...{ database: pool, nameServers: address, group: 'orders', relayIntervalMs: 50, halfTimeoutMs: 5_000 },
    ...options,
  })
  await outbox.migrate()
  await outbox.start()
  closers.push(() => outbox.close())
  return outbox
}

/** A process whose ENDs are all lost: what it committed or rolled back only a check-back finds out. */
const mute = (): Promise<Outbox<pg.Pool>> =>
  startOutbox({ producer: senderWith({ endMany: () => new Promise(() => {}) }), drainTimeoutMs: 100 })

const send = (outbox: Outbox<pg.Pool>, body: string, during: () => Promise<void> = async () => {}) =>
  outbox.transaction(async (_client, messages) => {
    messages.send({ topic: 'orders', orderBy: ORDER_BY, body })
    await during()
  })

const pending = (count: number) => expect.poll(() => broker.stats().transactions.pending, SLOWLY).toBe(count)

test('eager: the place is taken when the half arrives; a later transaction that commits first is seen second', async () => {
  const outbox = await startOutbox()
  let finish = (): void => {}
  const first = send(outbox, 'first', () => new Promise((resolve) => (finish = resolve)))
  await pending(1)
  await send(outbox, 'second')
  await expect.poll(() => broker.stats().order.held, SLOWLY).toBe(1)
  expect(seen).toEqual([])
  finish()
  await first
  await expect.poll(() => seen, SLOWLY).toEqual(['first', 'second'])
})

test('eager: a transaction that rolls back gives its place up', async () => {
  const outbox = await startOutbox()
  let fail = (_error: Error): void => {}
  const first = send(outbox, 'first', () => new Promise((_resolve, reject) => (fail = reject)))
  await pending(1)
  await send(outbox, 'second')
  await send(outbox, 'third')
  await expect.poll(() => broker.stats().order.held, SLOWLY).toBe(2)
  fail(new Error('above credit'))
  await expect(first).rejects.toThrow('above credit')
  await expect.poll(() => seen, SLOWLY).toEqual(['second', 'third'])
})

test('a message whose END is lost is seen before later ones of its key, once the broker has asked', async () => {
  const [outbox, silent] = [await startOutbox(), await mute()]
  await send(silent, 'first')
  await send(outbox, 'second')
  await send(outbox, 'third')
  await expect.poll(() => seen, SLOWLY).toEqual(['first', 'second', 'third'])
  expect(broker.stats().order).toMatchObject({ held: 0, released: 2 })
})

test('late: with the row of the entity locked, messages are seen in the order of the commits, also when ENDs are lost', async () => {
  const outboxes = [await startOutbox({ mode: 'late' }), await mute()]
  const place = (outbox: Outbox<pg.Pool>) =>
    outbox
      .transaction(
        async (client, messages) => {
          const text = 'update customers set orders = orders + 1 where id = $1 returning orders'
          const { rows } = await client.query<{ orders: number }>(text, [ORDER_BY])
          const number = rows[0]?.orders ?? 0
          messages.send({ topic: 'orders', orderBy: ORDER_BY, body: String(number) })
          if (number % 7 === 3 && Math.random() < 0.5) throw new Error('changed its mind')
        },
        { mode: 'late' },
      )
      .catch((error: Error) => expect(error.message).toBe('changed its mind'))
  await Promise.all(Array.from({ length: 60 }, (_, n) => place(outboxes[n % 6 === 5 ? 1 : 0] as Outbox<pg.Pool>)))
  const { rows } = await pool.query<{ orders: number }>('select orders from customers')
  const expected = Array.from({ length: rows[0]?.orders ?? 0 }, (_, n) => String(n + 1))
  await expect.poll(() => seen.length, SLOWLY).toBe(expected.length)
  expect(seen).toEqual(expected)
}, 60_000)

test('a half whose acknowledgement is lost: its message comes through the table, once, in its place, and later ones behind it', async () => {
  const producer = senderWith({})
  const prepare = producer.prepare.bind(producer)
  let isLost = true
  producer.prepare = async (message, options) => {
    const half = await prepare(message, options)
    if (isLost) await new Promise(() => {})
    return half
  }
  const outbox = await startOutbox({ producer, halfTimeoutMs: 100, drainTimeoutMs: 100 })
  await send(outbox, 'first')
  isLost = false
  expect(outbox.stats().fallbacks).toBe(1)
  await send(outbox, 'second')
  await using plain = new Producer({ nameServers: address, group: 'plain' })
  await plain.start()
  await expect.poll(async () => (await pool.query('select id from tandem.outbox')).rows, SLOWLY).toEqual([])
  await plain.send({ topic: 'orders', orderBy: ORDER_BY, body: 'third' })
  await expect.poll(() => seen, SLOWLY).toEqual(['first', 'second', 'third'])
  expect(broker.stats().transactions).toMatchObject({ pending: 0, committed: 0 })
})

test('halves and forwarded rows carry the ordering key', async () => {
  const silent = await mute()
  await send(silent, 'half')
  await using admin = new Admin({ nameServers: address })
  await admin.start()
  await using plain = new Producer({ nameServers: address, group: 'plain' })
  await plain.start()
  await plain.send({ topic: 'orders', orderBy: ORDER_BY, body: 'behind' })
  expect(await admin.heldGroups()).toMatchObject([{ topic: 'orders', orderBy: ORDER_BY, held: 1 }])
  await expect
    .poll(() => broker.messages('orders').map(({ properties }) => properties['__SHARDINGKEY']), SLOWLY)
    .toEqual([ORDER_BY, ORDER_BY])
})
