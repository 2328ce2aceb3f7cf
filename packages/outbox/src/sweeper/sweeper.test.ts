import type pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Resolver } from '../check-back/resolver.ts'
import type { MarkerState } from '../check-back/resolver.ts'
import { databaseWithTables } from '../database/database-test-kit.ts'
import { newTransactionId } from '../database/transaction-id.ts'
import { FakeBroker } from '../fake-broker-test-kit.ts'
import type { Clock } from '../foundation.ts'
import { systemClock } from '../foundation.ts'
import { OutboxError } from '../outbox-error.ts'
import { Schema } from '../schema/schema.ts'
import type { HalfSender } from '../settlement/half-sender.ts'
import { silentLogger } from '../silent-logger.ts'
import { selfCheck } from '../transaction/self-check.ts'
import { Sweeper } from './sweeper.ts'
import type { SweeperOptions } from './sweeper.ts'

const schema = new Schema('tandem')

let db: Awaited<ReturnType<typeof databaseWithTables>>
let pool: pg.Pool
beforeEach(async () => {
  db = await databaseWithTables()
  pool = db.pool
})
afterEach(() => db.close())

const OLD = '1 hour'
async function marker(state: 'C' | 'F' | 'R' = 'C', age = OLD): Promise<string> {
  const id = newTransactionId(systemClock)
  await pool.query(`insert into tandem.tx (tx_id, state, at) values ($1, $2, clock_timestamp() - $3::interval)`, [
    id,
    state,
    age,
  ])
  return id
}
const left = async (): Promise<string[]> =>
  (await pool.query('select tx_id from tandem.tx order by tx_id')).rows.map((row) => row.tx_id)

type PendingOf = HalfSender['pendingOf']
const sweeperOf = (pendingOf: PendingOf, options: Partial<SweeperOptions> = {}): Sweeper =>
  new Sweeper({
    pool,
    schema,
    clock: systemClock,
    logger: silentLogger,
    sender: { ...new FakeBroker().sender(), pendingOf },
    domainId: 'd',
    onAnomaly: () => {},
    ...options,
  })
const nonePending: PendingOf = async () => []

test('markers and tombstones of dead processes go to zero by themselves', async () => {
  for (const state of ['C', 'F', 'R'] as const) await marker(state, '3 days')
  const sweeper = sweeperOf(nonePending, { intervalMs: 10 })
  sweeper.start()
  await expect.poll(left).toEqual([])
  await sweeper.close()
})

test('more than one batch is swept, and a pending key in the middle stays', async () => {
  await pool.query(
    `insert into tandem.tx (tx_id, at) select gen_random_uuid(), clock_timestamp() - interval '1 hour' from generate_series(1, 2500)`,
  )
  const pending = (await left())[1_200] ?? ''
  expect(await sweeperOf(async (ids) => ids.filter((id) => id === pending)).sweep()).toBe(2_499)
  expect(await left()).toEqual([pending])
})

test('a marker committed while the brokers are asked is not deleted: it was not asked about', async () => {
  const old = await marker()
  const asked: string[][] = []
  let late = ''
  const deleted = await sweeperOf(async (ids) => {
    asked.push([...ids])
    if (asked.length === 1) late = await marker('C', '2 hours')
    return ids.filter((id) => id === late)
  }).sweep()
  expect([asked, deleted, await left()]).toEqual([[[old], [late]], 1, [late]])
})

test('a transaction that is still open, however old, is neither seen nor deleted', async () => {
  const open = await pool.connect()
  const id = newTransactionId(systemClock)
  await open.query('begin')
  await open.query(`insert into tandem.tx (tx_id, at) values ($1, clock_timestamp() - interval '1 hour')`, [id])
  expect(await sweeperOf(async (ids) => ids).sweep()).toBe(0)
  await open.query('commit')
  open.release()
  expect(await left()).toEqual([id])
})

test('a check-back and an END between pick, ask and delete change nothing: the key goes, the answer was commit', async () => {
  const id = await marker()
  const domainId = (await pool.query('select domain_id from tandem.domain')).rows[0].domain_id
  const resolver = new Resolver({ pool, schema, domainId, clock: systemClock, logger: silentLogger })
  const states: MarkerState[] = []
  const deleted = await sweeperOf(async () => {
    states.push((await resolver.check(id)).state)
    return []
  }).sweep()
  expect([states, deleted]).toEqual([['C'], 1])
  // The half was settled before; a check-back that comes too late is ignored by the broker.
  expect((await resolver.check(id)).state).toBe('R')
})

test('half the brokers unreachable: nothing is deleted that could not be asked about, tombstones neither', async () => {
  await marker()
  await marker('R', '3 days')
  const sweeper = sweeperOf(async () => {
    throw new OutboxError('CONNECT_FAILED', 'one of two brokers is away')
  })
  await expect(sweeper.sweep()).rejects.toMatchObject({ code: 'CONNECT_FAILED' })
  expect(await left()).toHaveLength(2)
})

test('a broker that cannot be asked at all keeps markers for three days', async () => {
  const young = await marker('C', '2 days')
  await marker('C', '4 days')
  const sweeper = sweeperOf(async () => {
    throw new OutboxError('REQUEST_NOT_SUPPORTED', 'Apache RocketMQ')
  })
  expect(await sweeper.sweep()).toBe(1)
  expect(await left()).toEqual([young])
})

test('a half that a stock broker gave up is reported once, if its transaction committed and its marker is old', async () => {
  const lost = await marker('C', '11 minutes')
  const others = [await marker('F', '11 minutes'), await marker('C', '9 minutes'), await marker('R', '11 minutes')]
  const settled = await marker('C', '11 minutes')
  const anomalies: string[] = []
  const asked: unknown[] = []
  const sender: HalfSender = {
    ...new FakeBroker().sender(),
    pendingOf: async () => {
      throw new OutboxError('REQUEST_NOT_SUPPORTED', 'Apache RocketMQ')
    },
    givenUpOf: async (ids, domainId) => {
      asked.push(domainId)
      return ids.filter((id) => id === lost || others.includes(id))
    },
  }
  const sweeper = sweeperOf(nonePending, { sender, onAnomaly: (text) => anomalies.push(text) })
  await sweeper.sweep()
  await sweeper.sweep()
  expect(asked).toEqual(['d', 'd'])
  expect(anomalies).toHaveLength(1)
  expect(anomalies[0]).toContain(lost)
  expect(await left()).toEqual([lost, ...others, settled].toSorted())
})

test('two sweepers at once delete each key once', async () => {
  for (let n = 0; n < 50; n++) await marker()
  const deleted = await Promise.all([sweeperOf(nonePending).sweep(), sweeperOf(nonePending).sweep()])
  expect(deleted.reduce((sum, count) => sum + count, 0)).toBe(50)
})

test.each([-2, 2])(
  'the clock of the application %i hours off moves no limit: only the database tells age',
  async (hours) => {
    const clock: Clock = Object.assign(Object.create(systemClock) as Clock, {
      now: () => Date.now() + hours * 3_600_000,
    })
    await marker('C', '11 minutes')
    const young = await marker('C', '9 minutes')
    await sweeperOf(nonePending, { clock }).sweep()
    expect(await left()).toEqual([young])
  },
)

describe('the self check of an application that was frozen between COMMIT and its answer', () => {
  const asking = (state: MarkerState, nowMs: number): Pick<Resolver, 'check'> => ({
    check: async () => ({ state, nowMs }),
  })
  test.each([
    ['absent soon after: never committed', 'R', 60_000, 'rolledBack'],
    ['absent after 15 minutes: perhaps swept, never a false "rolled back"', 'R', 900_000, undefined],
    ['there after 15 minutes', 'C', 900_000, 'committed'],
    ['forwarded', 'F', 900_000, 'committed'],
    ['another database', 'notMine', 0, undefined],
  ] as const)('%s', async (_name, state, ageMs, expected) => {
    const resolver = asking(state, 1_000_000_000_000 + ageMs) as Resolver
    expect(await selfCheck(resolver, systemClock, 'id', 1_000_000_000_000, 50)).toBe(expected)
  })
})
