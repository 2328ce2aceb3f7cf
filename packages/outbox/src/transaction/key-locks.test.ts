import { startTestDatabase } from '@tandemmq/testing/database'
import { afterEach, expect, test } from 'vitest'
import { type Driver, drivers, prepare, World } from '../outbox-world-test-kit.ts'
import type { Outbox } from '../outbox.ts'
import type { Mode } from './scope.ts'

const worlds: World[] = []
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.close()
})

async function start(): Promise<{ world: World; outbox: Outbox }> {
  const world = new World(await startTestDatabase({ prepare }), drivers['pg'] as Driver)
  worlds.push(world)
  return { world, outbox: await world.outbox({ halfTimeoutMs: 20_000 }) }
}

/** Transactions that hold one of our locks, or wait for one. */
const holders = async (world: World, mode: string, isGranted: boolean): Promise<number> => {
  const of = `locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())`
  const sql = `select count(distinct pid)::int as n from pg_locks where ${of} and mode = '${mode}' and granted = ${isGranted}`
  return Number((await world.rows(sql))[0]?.['n'])
}

/** The broker goes away while so many transactions hold the lock on their keys and wait for their halves. */
function leaveWhen(world: World, transactions: number): void {
  const bothWait = (async () => {
    await expect.poll(() => holders(world, 'ShareLock', true), { interval: 5, timeout: 10_000 }).toBe(transactions)
    world.broker.away = true
  })()
  world.broker.beforeHalf = async () => {
    await bothWait
    throw Object.assign(new Error('gone'), { code: 'CONNECT_FAILED', retryable: true })
  }
}

const place = (outbox: Outbox, id: string, keys: readonly string[], mode: Mode): Promise<void> =>
  outbox.transaction(
    async (trx, messages) => {
      await (drivers['pg'] as Driver).insert(trx, id)
      for (const key of keys) messages.send({ topic: 'orders', orderBy: key, body: `${id} ${key}` })
    },
    { mode },
  )

test.each(['eager', 'late'] as const)(
  'transactions of the same keys that all lose their broker (%s) take the table one after another: no deadlock',
  async (mode) => {
    const { world, outbox } = await start()
    leaveWhen(world, 4)
    const keys = ['a', 'b', 'c', 'd', 'e', 'f']
    const ids = ['o-1', 'o-2', 'o-3', 'o-4']
    const placed = ids.map((id, n) => place(outbox, id, n % 2 === 0 ? keys : keys.toReversed(), mode))
    expect((await Promise.allSettled(placed)).map((result) => String((result as { reason?: unknown }).reason))).toEqual(
      ids.map(() => 'undefined'),
    )
    world.broker.beforeHalf = undefined
    world.broker.away = false
    await world.quiesce()
    expect(await world.orders()).toEqual(ids)
    expect(world.delivered()).toHaveLength(ids.length * keys.length)
    // One order for all keys: who had the locks first was first in each.
    const orderOf = (key: string): string[] =>
      world.broker.delivered
        .map(({ body }) => String(body).split(' '))
        .flatMap(([id, of]) => (of === key ? [id ?? ''] : []))
    for (const key of keys) expect(orderOf(key)).toEqual(orderOf('a'))
  },
)

test('who takes the table waits for a half of its key that is on its way, and for nobody who waits for it', async () => {
  const { world, outbox } = await start()
  let release: (() => void) | undefined
  world.broker.beforeHalf = ({ body }) =>
    String(body).startsWith('half') ? new Promise<void>((resolve) => (release = resolve)) : Promise.reject(away)
  const half = place(outbox, 'half', ['a'], 'eager')
  await expect.poll(() => holders(world, 'ShareLock', true)).toBe(1)
  const rows = place(outbox, 'rows', ['a'], 'eager')
  await expect.poll(() => holders(world, 'ExclusiveLock', false)).toBe(1)
  expect(await holders(world, 'ShareLock', true)).toBe(1)
  expect(await world.rows('select * from tandem.outbox')).toEqual([])
  release?.()
  await half
  await rows
  await world.quiesce()
  expect(world.broker.delivered.map(({ body }) => String(body))).toEqual(['half a', 'rows a'])
})

const away = Object.assign(new Error('gone'), { code: 'CONNECT_FAILED', retryable: true })
