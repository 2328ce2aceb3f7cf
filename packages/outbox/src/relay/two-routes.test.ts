import { startTestDatabase } from '@tandemmq/testing/database'
import { afterEach, expect, test } from 'vitest'
import type { Database } from '../database/database.ts'
import type { OutboxOptions } from '../outbox-options.ts'
import { type Driver, drivers, prepare, World } from '../outbox-world-test-kit.ts'
import type { Outbox } from '../outbox.ts'

const worlds: World[] = []
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.close()
})

/** `dead` lies at a broker that does not answer. */
async function start(options: Partial<OutboxOptions<Database>> = {}): Promise<{ world: World; outbox: Outbox }> {
  const world = new World(await startTestDatabase({ prepare }), drivers['pg'] as Driver)
  worlds.push(world)
  world.broker.awayTopics.add('dead')
  return { world, outbox: await world.outbox(options) }
}

const send = (outbox: Outbox, topic: string, body: string, more: object = {}): Promise<void> =>
  outbox.transaction((_trx, messages) => messages.send({ topic, body, ...more }))
const tries = (world: World, topic: string): number =>
  world.broker.log.filter((entry) => entry === `tried ${topic}`).length

test.each(['eager', 'late'] as const)(
  'with one of two brokers dead (%s), transactions to the living one keep the half path, those to the other take the table at once',
  async (mode) => {
    const { world, outbox } = await start({ mode, relayIntervalMs: 60_000 })
    const startedAt = performance.now()
    for (let n = 0; n < 3; n++) await send(outbox, 'dead', `d${n}`)
    expect(outbox.stats()).toMatchObject({ circuitOpen: true, circuitsOpen: ['topic dead'], fallbacks: 3 })
    const [tried, halves] = [tries(world, 'dead'), world.broker.halves.length]
    for (let n = 0; n < 20; n++) {
      await send(outbox, 'alive', `a${n}`)
      await send(outbox, 'dead', `e${n}`)
    }
    // Nobody has waited for the dead one, but for a probe, no two of which are closer than a second.
    const probes = tries(world, 'dead') - tried
    expect(probes).toBeLessThanOrEqual(Math.floor((performance.now() - startedAt) / 1_000))
    expect(world.broker.halves.length - halves).toBe(20)
    expect(outbox.stats()).toMatchObject({ fallbacks: 23, committed: 43 })
    await expect.poll(() => world.delivered().length).toBe(20)
    // One message that must take the table takes its transaction with it.
    await outbox.transaction((_trx, messages) => {
      for (const topic of ['alive', 'dead']) messages.send({ topic, body: `both to ${topic}` })
    })
    expect(outbox.stats().fallbacks).toBe(24)
    world.broker.awayTopics.clear()
    await world.quiesce()
    expect(world.delivered()).toHaveLength(20 + 23 + 2)
    expect(new Set(world.delivered()).size).toBe(45)
  },
)

test('the relay brings what waits for the living broker, and tries the dead one with one message at a time', async () => {
  const { world, outbox } = await start()
  world.broker.away = true
  for (let n = 0; n < 30; n++) await send(outbox, 'dead', `d${n}`, n % 2 === 0 ? { orderBy: `k${n % 3}` } : {})
  for (let n = 0; n < 30; n++) await send(outbox, 'alive', `a${n}`, n % 2 === 0 ? { orderBy: `l${n % 3}` } : {})
  world.broker.away = false
  const alive = (): number => world.delivered().filter((body) => body.startsWith('a')).length
  await expect.poll(alive, { timeout: 15_000 }).toBe(30)
  expect(outbox.stats().circuitsOpen).toEqual(['topic dead'])
  const places = async (): Promise<unknown[]> =>
    (await world.rows("select ctid::text as at from tandem.outbox where topic = 'dead'")).map(({ at }) => at)
  const [before, untouched] = [tries(world, 'dead'), await places()]
  await send(outbox, 'alive', 'later', { delayMs: 1 })
  await expect.poll(() => world.delivered()).toContain('later')
  await expect.poll(() => tries(world, 'dead'), { timeout: 10_000 }).toBeGreaterThan(before)
  expect(tries(world, 'dead') - before).toBe(1)
  // A claim writes to its row.
  expect((await places()).filter((at) => !untouched.includes(at)).length).toBeLessThanOrEqual(1)
  world.broker.awayTopics.clear()
  await expect.poll(() => world.delivered().length, { timeout: 15_000 }).toBe(61)
  await expect.poll(() => outbox.stats().circuitOpen).toBe(false)
  for (const key of [0, 1, 2]) {
    const ofKey = world.broker.delivered.filter(({ orderBy }) => orderBy === `k${key}`).map(({ body }) => String(body))
    expect(ofKey).toEqual(ofKey.toSorted((a, b) => Number(a.slice(1)) - Number(b.slice(1))))
  }
})

test('a message to the living broker is not behind one of its key to the dead one for longer than the order asks', async () => {
  const { world, outbox } = await start()
  for (let n = 0; n < 3; n++) await send(outbox, 'dead', `d${n}`)
  await send(outbox, 'alive', '1', { orderBy: 'k' })
  await send(outbox, 'dead', '2', { orderBy: 'k' })
  await send(outbox, 'alive', '3', { orderBy: 'k' })
  await send(outbox, 'alive', '4', { orderBy: 'other' })
  await expect.poll(() => world.delivered()).toEqual(['1', '4'])
  world.broker.awayTopics.clear()
  await expect.poll(() => world.delivered(), { timeout: 15_000 }).toEqual(['1', '2', '3', '4', 'd0', 'd1', 'd2'])
  const inOrder = world.broker.delivered.map(({ body }) => String(body)).filter((body) => '123'.includes(body))
  expect(inOrder).toEqual(['1', '2', '3'])
})
