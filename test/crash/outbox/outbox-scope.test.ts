import { afterEach, expect, test } from 'vitest'
import { startTestDatabase } from '@tandemmq/testing/database'
import { OutboxWorld, prepareOrders } from './outbox-world.ts'
import { Pgbouncer, pgbouncerProgram } from './pgbouncer.ts'

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

async function database(): Promise<string> {
  const db = await startTestDatabase({ prepare: prepareOrders })
  closers.unshift(() => db.close())
  return db.url
}

function world(url: string): OutboxWorld {
  const made = new OutboxWorld(url)
  closers.unshift(() => made.close())
  return made
}

const between = (first: number, last: number): string[] =>
  Array.from({ length: last - first + 1 }, (_, n) => `P${first + n}`)

// A joined transaction sends halves from inside a savepoint that is then rolled back: every point counts.
const joined = between(1, 13).map((point) => [point, 'pg-join'])
const others = ['P3', 'P6', 'P7', 'P11'].flatMap((point) => [
  [point, 'knex-nested'],
  [point, 'knex-join'],
])

test.each([...joined, ...others])(
  'S1: killed at %s (%s), messages of savepoints rolled back never arrive, those of the rest of committed orders do',
  async (point = '', driver = '') => {
    const here = world(await database())
    // Seven: the second or third order, its savepoint already rolled back or about to be.
    for (const hit of [1, 7]) {
      here.start(`${point}:kill@${hit}`, driver, `s${hit}`, 40)
      expect(await here.ended()).toBe('SIGKILL')
    }
    const { orders } = await here.settle()
    if (Number(point.slice(1)) > 6) expect(orders).toBeGreaterThan(0)
  },
  // Two processes start one after the other, on whatever machine.
  90_000,
)

const hasPgbouncer = pgbouncerProgram() !== undefined
if (!hasPgbouncer) console.log('X4 is skipped: pgbouncer is not installed (apt-get install pgbouncer)')

test.skipIf(!hasPgbouncer).each(['pg', 'knex-nested', 'pg-join', 'knex-join'])(
  'X4: through pgbouncer with transaction pooling (%s) every committed order arrives once',
  async (driver) => {
    const bouncer = await Pgbouncer.start(await database())
    closers.unshift(() => bouncer.stop())
    const here = world(bouncer.url)
    here.start('', driver, 'b', 40)
    expect(await here.ended()).toBe('0')
    expect((await here.settle()).orders).toBe(36)
  },
)

test.skipIf(!hasPgbouncer).each(between(1, 11))(
  'X4: pgbouncer killed while the process stands at %s: one outcome, and the caller hears the true one',
  async (point) => {
    const bouncer = await Pgbouncer.start(await database())
    closers.unshift(() => bouncer.stop())
    const here = world(bouncer.url)
    here.start(`${point}:stop@3`, 'pg', 'b', 20)
    await here.stopped()
    await bouncer.kill()
    await bouncer.start()
    here.continue()
    expect(await here.ended()).toBe('0')
    await here.settle()
    expect(here.reports.size).toBe(20)
  },
  90_000,
)
