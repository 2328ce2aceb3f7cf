import { afterEach, expect, test } from 'vitest'
import { startTestDatabase } from '@tandemmq/testing/database'
import { PostgresCluster } from '@tandemmq/testing/postgres-cluster'
import { OutboxWorld, prepareOrders } from './outbox-world.ts'

const points = Array.from({ length: 16 }, (_, n) => `P${n}`)
const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

async function world(): Promise<OutboxWorld> {
  const db = await startTestDatabase({ prepare: prepareOrders })
  const made = new OutboxWorld(db.url)
  closers.push(
    () => made.close(),
    () => db.close(),
  )
  return made
}

const onKnex = ['P2', 'P7', 'P10', 'P12']

test.each([...points.map((point) => [point, 'pg']), ...onKnex.map((point) => [point, 'knex'])])(
  'killed at %s (%s), every committed order arrives once and no other does',
  async (point = '', driver = '') => {
    const here = await world()
    // Markers are deleted in batches: there is one hit in a short run.
    for (const hit of point === 'P14' || point === 'P15' ? [1] : [1, 4]) {
      here.start(`${point}:kill@${hit}`, driver, `k${hit}`, 40)
      expect(await here.ended()).toBe('SIGKILL')
    }
    const { orders } = await here.settle()
    if (Number(point.slice(1)) > 6) expect(orders).toBeGreaterThan(0)
  },
)

test.each(['P2', 'P5', 'P6', 'P7', 'P11', 'P14'])(
  'frozen at %s past the idle timeout, asked about meanwhile, then thawed: one outcome',
  async (point) => {
    const here = await world()
    here.start(`${point}:stop@${point === 'P14' ? 1 : 3}`, 'pg', 's', 20)
    await here.stopped()
    await new Promise((resolve) => setTimeout(resolve, 600))
    for (let round = 0; round < 3; round++) await here.ask()
    here.continue()
    expect(await here.ended()).toBe('0')
    await here.settle()
    expect(here.reports.size).toBe(20)
  },
)

test.each(['P2', 'P6', 'P7', 'P11'])(
  'Postgres killed while the process stands at %s: one outcome, and the caller hears the true one',
  async (point) => {
    const cluster = await PostgresCluster.start()
    closers.push(() => cluster.stop())
    const url = cluster.url('postgres')
    await prepareOrders(url)
    const here = new OutboxWorld(url)
    closers.unshift(() => here.close())
    here.start(`${point}:stop@3`, 'pg', 'd', 20)
    await here.stopped()
    await cluster.kill()
    await cluster.start()
    here.continue()
    expect(await here.ended()).toBe('0')
    await here.settle()
    expect(here.reports.size).toBe(20)
  },
  // Longer than a start of Postgres may take: what hangs shall say so itself.
  90_000,
)

test.each(['P2', 'P6', 'P7', 'P11', 'P13'])(
  'killed at %s while the broker comes and goes, every committed order arrives once',
  async (point) => {
    const here = await world()
    let turn = 0
    here.broker.beforeHalf = () => {
      // Every fifth half finds nobody, every seventh is never acknowledged.
      turn += 1
      if (turn % 5 === 0) throw Object.assign(new Error('away'), { code: 'CONNECT_FAILED', retryable: true })
    }
    here.broker.beforeAck = () => (turn % 7 === 0 ? new Promise(() => {}) : undefined)
    for (const hit of [3, 6]) {
      here.start(`${point}:kill@${hit}`, 'pg', `b${hit}`, 30)
      expect(await here.ended()).toBe('SIGKILL')
    }
    await here.settle()
  },
)
