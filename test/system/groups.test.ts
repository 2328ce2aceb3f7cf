import { expect, test } from 'vitest'
import { GroupWorld } from '../kit/group-world.ts'
import { tandem } from '../kit/program.ts'
import { elapse, until } from '../kit/waiting.ts'

const billing = { group: 'billing', startFrom: 'first', subscriptions: { orders: '*' } } as const

/** Sends until told to stop. @returns how many were sent */
async function keepSending(world: GroupWorld, stopping: AbortSignal): Promise<number> {
  let sent = 0
  for (; !stopping.aborted; sent += 20) {
    await world.send('orders', 20, `${sent}-`)
    await elapse(20)
  }
  return sent
}

test('members join and leave while messages flow: queues go from hand to hand, and each message is handled once', async () => {
  await using world = await GroupWorld.start()
  await world.admin.createTopic('orders', { queues: 6 })
  const stopping = new AbortController()
  const first = await world.member('first', { ...billing, handlerMs: 30 })
  const sending = keepSending(world, stopping.signal)
  const shares = async (members: number): Promise<void> => {
    const from = world.handled().length
    const all = (): Set<string> =>
      new Set(
        world
          .handled()
          .slice(from)
          .map(({ proc }) => proc),
      )
    await until(
      () => all().size === members,
      20_000,
      () => [...all()].join(),
    )
  }
  const second = await world.member('second', { ...billing, handlerMs: 30 })
  await shares(2)
  await world.member('third', { ...billing, handlerMs: 30 })
  await shares(3)
  expect(await first.stop('SIGTERM')).toBe('0')
  await shares(2)
  await world.member('fourth', { ...billing, handlerMs: 30 })
  await shares(3)
  expect(await second.stop('SIGTERM')).toBe('0')
  await shares(2)
  stopping.abort()
  const sent = await sending
  await until(
    () => world.distinct === sent,
    30_000,
    () => `${world.distinct} of ${sent}`,
  )
  expect(world.handled('begin').length).toBe(sent)
}, 120_000)

test('a member with a name of its own is restarted without moving a queue; one that stays away loses them', async () => {
  await using world = await GroupWorld.start()
  await world.admin.createTopic('orders', { queues: 4 })
  const named = { ...billing, clientId: 'named', rejoinMs: 8_000 }
  const first = await world.member('named-1', named)
  await world.member('other', { ...billing, clientId: 'other' })
  await world.send('orders', 200, 'a-')
  await until(() => world.distinct === 200, 20_000)
  const queuesOf = (proc: string): Set<number> =>
    new Set(world.handled().flatMap((one) => (one.proc === proc ? [one.queueId] : [])))
  await world.send('orders', 200, 'b-')
  await until(() => world.distinct === 400, 20_000)
  const own = queuesOf('other')
  expect(await first.stop('SIGTERM')).toBe('0')
  await world.send('orders', 200, 'c-')
  const again = await world.member('named-2', named)
  await until(() => world.distinct === 600, 20_000)
  expect(queuesOf('other')).toEqual(own)
  expect([...queuesOf('named-2')].some((queueId) => !queuesOf('named-1').has(queueId))).toBe(false)
  await until(async () => (await world.admin.previewReset('billing', 'orders', 'last')).skipped === 0n, 10_000)
  // A second program under the same name takes its place; the first one is told and stops.
  await world.member('named-3', named)
  await until(
    () => again.err.includes('CLIENT_ID_TAKEN'),
    20_000,
    () => again.err,
  )
  await world.send('orders', 200, 'd-')
  await until(() => world.distinct === 800, 20_000)
  expect(
    world
      .handled('begin')
      .filter(({ id }) => id.startsWith('d-'))
      .some(({ proc }) => proc === 'named-2'),
  ).toBe(false)
  expect(world.handled('begin').length).toBe(800)
}, 90_000)

test('members that want different messages are named to themselves and to operators, and each gets what it asked for', async () => {
  await using world = await GroupWorld.start()
  await world.admin.createTopic('orders', { queues: 4 })
  const wanting = (tag: string) => ({
    ...billing,
    clientId: `wants-${tag}`,
    // What a filter passes over is told at the end of a pull.
    holdMs: 500,
    subscriptions: { orders: { tags: [tag] } },
  })
  const created = await world.member('created', wanting('created'))
  const paid = await world.member('paid', wanting('paid'))
  for (const member of [created, paid]) {
    await until(
      () => member.err.includes('SUBSCRIPTION_CONFLICT'),
      20_000,
      () => member.err,
    )
    expect(member.err).toContain('orders: wants-created "TAG created"; wants-paid "TAG paid"')
  }
  const shown = await tandem('groups', 'show', 'billing', '--name-server', world.address)
  expect(shown.out).toContain('CONFLICT: members want different messages')
  expect(shown.out).toMatch(/orders +wants-created +TAG created/)
  // Filters do not flap: whatever heartbeats come, nobody gets what only the other one wants, and all of its own.
  const expected = new Map<string, number>()
  for (let round = 0; round < 5; round++) {
    for (const tag of ['created', 'paid']) await world.send('orders', 40, `${tag}-${round}-`, tag)
  }
  const progress = async (): Promise<boolean> =>
    (await world.admin.progress('billing')).every((one) => one.committedOffset === one.maxOffset)
  await until(progress, 20_000)
  for (const { proc, id } of world.handled()) {
    expect(id.startsWith(proc)).toBe(true)
    expected.set(proc, (expected.get(proc) ?? 0) + 1)
  }
  expect([...expected.keys()].toSorted()).toEqual(['created', 'paid'])
  // Once they agree there is no conflict any more.
  await paid.stop('SIGTERM')
  await world.member('created-2', { ...wanting('created'), clientId: 'wants-too' })
  const { out } = await tandem('groups', 'show', 'billing', '--name-server', world.address)
  expect(out).not.toContain('CONFLICT')
}, 90_000)

test('each broadcasting member gets everything and goes on from its own folder after a crash; groups do not disturb each other', async () => {
  await using world = await GroupWorld.start()
  await world.admin.createTopic('orders', { queues: 3 })
  const wide = { group: 'caches', mode: 'broadcasting', startFrom: 'first', subscriptions: { orders: '*' } } as const
  const member = (name: string) => world.member(name, { ...wide, offsetsIn: world.folder(name), commitIntervalMs: 100 })
  const a = await member('a')
  await member('b')
  await world.member('biller', billing)
  await world.send('orders', 300, 'x-')
  const got = (proc: string): string[] => world.handled().flatMap((one) => (one.proc === proc ? [one.id] : []))
  const everybody = ['a', 'b', 'biller']
  await until(() => everybody.every((name) => new Set(got(name)).size === 300), 20_000)
  // Positions are in the file by now, or a little later.
  await elapse(500)
  await a.stop('SIGKILL')
  await world.send('orders', 300, 'y-')
  await world.admin.resetOffset('billing', 'orders', 'first')
  await member('a')
  await until(() => everybody.every((name) => new Set(got(name)).size === 600), 20_000)
  await until(() => got('biller').length >= 900, 20_000)
  for (const name of ['a', 'b']) expect(got(name).length).toBe(600)
}, 60_000)
