import pg from 'pg'
import { expect, test } from 'vitest'
import { ChildProgram } from '../../kit/child-program.ts'
import { SeededRandom } from '../../kit/seeded-random.ts'
import { elapse, until } from '../../kit/waiting.ts'
import { ChaosWorld } from './chaos-world.ts'
import { TOPICS } from './order-tables.ts'

const rounds = Number(process.env['CRASH_ROUNDS'] ?? 1)
const seed = Number(process.env['CRASH_SEED'] ?? 1)
const KILLS_PER_ROUND = 6
const ARRIVE_MS_MAX = 60_000

test(
  'I0 to I4: consumers, Postgres and broker killed at any moment: every effect is there exactly once',
  async () => {
    const random = new SeededRandom(seed)
    const mix = { delayed: 0, slow: 0 }
    await using world = await ChaosWorld.start({ random, designs: ['outbox'], workers: 3, mix })
    const pool = new pg.Pool({ connectionString: world.postgres.url('postgres'), max: 2 })
    pool.on('error', () => {})
    await pool.query('create table effects (key text not null)')
    const args = [world.postgres.url('postgres'), world.brokerAddress, ...TOPICS]
    const launch = (): ChildProgram =>
      new ChildProgram({ file: 'test/crash/outbox/inbox-consumer.mjs', args, readyLine: /^ready$/m })
    const consumers = [launch(), launch()]
    try {
      await Promise.all(consumers.map((consumer) => consumer.ready()))
      for (let kill = 0; kill < rounds * KILLS_PER_ROUND; kill++) {
        await elapse(random.between(200, 900))
        if (kill % KILLS_PER_ROUND === 2) await world.restartPostgres()
        if (kill % KILLS_PER_ROUND === 4) await world.restartBroker()
        const which = kill % consumers.length
        await consumers[which]?.stop('SIGKILL')
        consumers[which] = launch()
        await consumers[which]?.ready(30_000)
      }
      const leftovers = await world.quiesce(ARRIVE_MS_MAX)
      const orders = await world.orders()
      const expected = orders.flatMap(({ id, messages }) => Array.from({ length: messages }, (_, n) => `${id}#${n}`))
      const effects = async (): Promise<string[]> =>
        (await pool.query<{ key: string }>('select key from effects')).rows.map(({ key }) => key)
      await until(async () => (await effects()).length >= expected.length, ARRIVE_MS_MAX).catch(() => {})
      // A second effect of something redelivered comes later, if it comes.
      await elapse(2_000)
      console.log(JSON.stringify({ messages: expected.length, kills: rounds * KILLS_PER_ROUND, seed }))
      expect(leftovers).toBe('')
      expect((await effects()).toSorted()).toEqual(expected.toSorted())
      expect(expected.length).toBeGreaterThan(20)
    } finally {
      await Promise.all(consumers.map((consumer) => consumer.stop('SIGKILL')))
      await pool.end()
    }
  },
  120_000 + rounds * 60_000,
)
