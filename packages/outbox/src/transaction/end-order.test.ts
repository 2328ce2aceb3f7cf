import { startTestDatabase } from '@tandemmq/testing/database'
import { afterEach, expect, test } from 'vitest'
import { type Driver, drivers, prepare, World } from '../outbox-world-test-kit.ts'

const worlds: World[] = []
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.close()
})

test.each(['eager', 'late'] as const)(
  'halves are ended in the order of their messages (%s), in whatever order the broker acknowledged them',
  async (mode) => {
    const world = new World(await startTestDatabase({ prepare }), drivers['pg'] as Driver)
    worlds.push(world)
    const outbox = await world.outbox({ halfTimeoutMs: 20_000 })
    const bodies = ['placed', 'paid', 'shipped', 'billed']
    // The last one first.
    const acknowledged: (() => void)[] = []
    world.broker.beforeAck = () =>
      new Promise<void>((resolve) => {
        acknowledged.unshift(resolve)
        if (acknowledged.length === bodies.length) for (const done of acknowledged) setTimeout(done)
      })
    await outbox.transaction(
      async (trx, messages) => {
        await (drivers['pg'] as Driver).insert(trx, 'o-1')
        for (const body of bodies) messages.send({ topic: 'orders', orderBy: 'o-1', body })
      },
      { mode },
    )
    await world.quiesce()
    expect(world.broker.delivered.map(({ body }) => String(body))).toEqual(bodies)
  },
)
