import { setTimeout as pause } from 'node:timers/promises'
import type { HalfSender } from '@tandemmq/outbox'
import { Outbox } from '@tandemmq/outbox'
import { startTestDatabase } from '@tandemmq/testing/database'
import pg from 'pg'
import { afterEach, expect, test } from 'vitest'
import { ClientHalfSender } from '../../../packages/outbox/src/settlement/client-half-sender.ts'
import { freePort } from '../../kit/free-port.ts'
import { tandemUp } from '../../kit/tandem-program.ts'
import { temporaryDirectory } from '../../kit/temporary-directory.ts'
import { OutboxWorld, prepareOrders } from './outbox-world.ts'
import { PullConsumer } from '@tandemmq/client'

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

/** Sweeps all the time, also what is not a second old. */
const sweeping = { markerAgeMs: 0, sweepIntervalMs: 20 }

async function world(): Promise<OutboxWorld> {
  const db = await startTestDatabase({ prepare: prepareOrders })
  closers.push(() => db.close())
  const made = new OutboxWorld(db.url)
  closers.push(() => made.close())
  // Every transaction leaves a marker, and a half that is pending until somebody asks.
  made.broker.loseEnds = true
  return made
}

/** Until then somebody answers for halves of the process: those markers may go, the others may not. */
async function answering<T>(here: OutboxWorld, until: Promise<T>): Promise<T> {
  const over = until.then((value) => ({ value }))
  for (;;) {
    await here.ask()
    const found = await Promise.race([over, pause(20)])
    if (found !== undefined) return found.value
  }
}

test.each(['G0', 'G1', 'G2'])(
  '%s: a sweeper killed there, or standing there while others answer for its halves, deletes no live key',
  async (point) => {
    const here = await world()
    here.start(`${point}:kill@2`, 'pg', 'k', 250, sweeping)
    expect(await answering(here, here.ended())).toBe('SIGKILL')
    // In between others answer for its halves; ENDs go out when it goes on. A deletion on its way is past all that.
    if (point !== 'G2') {
      here.start(`${point}:stop@2`, 'pg', 's', 250, sweeping)
      await answering(here, here.stopped())
      await here.ask()
      here.broker.loseEnds = false
      here.continue()
      expect(await here.ended()).toBe('0')
    }
    here.broker.loseEnds = false
    const { orders } = await here.settle()
    expect(orders).toBeGreaterThan(0)
  },
  60_000,
)

test('G1: a broker killed between the question and the deletion still knows every half it was asked about', async () => {
  const folder = temporaryDirectory('sweeper-kills')
  closers.push(() => folder.remove())
  const db = await startTestDatabase({ prepare: prepareOrders })
  closers.push(() => db.close())
  const port = await freePort()
  const up = (transactionTimeoutMs: number) => {
    const set = { transactionTimeoutMs, transactionCheckIntervalMs: 500 }
    const program = tandemUp({ dataDir: `${folder.path}/data`, port, set })
    closers.push(() => program.stop('SIGKILL'))
    return program
  }
  // Nobody is asked before it was killed.
  let broker = up(600_000)
  const nameServers = await broker.ready(60_000)
  const real = new ClientHalfSender({ nameServers, group: 'orders' })
  let isLost = false
  let onAsked: (() => Promise<void>) | undefined
  const producer: HalfSender = {
    start: (check, domain) => real.start(check, domain),
    close: () => real.close(),
    prepare: (message, options) => real.prepare(message, options),
    send: (message) => real.send(message),
    async endMany(ends) {
      if (!isLost) await real.endMany(ends)
      throw Object.assign(new Error('the answer was lost'), { code: 'REQUEST_TIMEOUT' })
    },
    async pendingOf(ids) {
      const pending = await real.pendingOf(ids)
      await onAsked?.()
      return pending
    },
  }
  const database = new pg.Pool({ connectionString: db.url, max: 4 })
  database.on('error', () => {})
  closers.push(() => database.end())
  const options = { sweepIntervalMs: 3_600_000, markerAgeMs: 0, halfTimeoutMs: 10_000 }
  const outbox = new Outbox({ database, producer, group: 'orders', ...options })
  closers.push(() => outbox.close())
  await outbox.start()
  const place = (id: string): Promise<void> =>
    outbox.transaction(async (trx, messages) => {
      await trx.query('insert into orders values ($1, 1)', [id])
      messages.send({ topic: 'orders', body: id })
    })
  const markers = async (): Promise<number> =>
    (await database.query("select from tandem.tx where state <> 'R'")).rowCount ?? 0
  for (let n = 0; n < 4; n++) await place(`ended-${n}`)
  const ids = (await database.query('select tx_id from tandem.tx')).rows.map((row) => String(row.tx_id))
  await expect.poll(() => real.pendingOf(ids), { timeout: 10_000 }).toEqual([])
  isLost = true
  for (let n = 0; n < 4; n++) await place(`pending-${n}`)
  expect(await markers()).toBe(8)
  onAsked = async () => {
    await broker.stop('SIGKILL')
    broker = up(300)
    await broker.ready(60_000)
  }
  expect(await outbox.sweep()).toBe(4)
  expect(await markers()).toBe(4)
  onAsked = undefined
  const seen = async (): Promise<string[]> => {
    await using consumer = new PullConsumer({ nameServers, group: 'reader' })
    await consumer.start()
    const texts: string[] = []
    for (const queue of await consumer.queues('orders')) {
      texts.push(...(await consumer.pull(queue, 0n)).messages.map(({ body }) => String(body)))
    }
    return texts.toSorted()
  }
  const expected = ['ended', 'pending'].flatMap((kind) => [0, 1, 2, 3].map((n) => `${kind}-${n}`))
  await expect.poll(seen, { timeout: 30_000 }).toEqual(expected)
  await outbox.sweep()
  expect([await markers(), await seen()]).toEqual([0, expected])
}, 90_000)
