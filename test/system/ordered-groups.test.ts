import { startBroker } from '@tandemmq/broker'
import { MemoryDisk } from '@tandemmq/broker/simulation'
import { Admin, type ConsumedMessage, Producer, PushConsumer, type PushConsumerOptions } from '@tandemmq/client'
import { RequestCode } from '@tandemmq/protocol'
import { RemotingClient } from '@tandemmq/remoting'
import { MemoryNetwork, VirtualClock } from '@tandemmq/remoting/simulation'
import { afterEach, expect, test } from 'vitest'

const KEYS = 6
const PER_KEY = 12

interface Seen {
  member: string
  key: string
  n: number
  attempt: number
  at: number
}

/** One broker, members of an ordered group on machines of their own, virtual time. */
class World {
  readonly clock: VirtualClock
  readonly network: MemoryNetwork
  readonly seen: Seen[] = []
  /** Handlers at work, by key: more than one is a violation. */
  readonly atWork = new Map<string, string>()
  readonly violations: string[] = []
  /** `key n` of messages that were handled to their end, or given up after their attempts. */
  readonly settled = new Set<string>()
  /** Longest a handler takes, above 5 ms. */
  workMsMax = 40
  address = ''
  readonly #disk = new MemoryDisk()
  #stop: (() => Promise<unknown>)[] = []

  constructor(seed: number) {
    this.clock = new VirtualClock({ seed })
    this.network = new MemoryNetwork({ clock: this.clock, latencyMs: 1 })
  }

  async start(queues = 4): Promise<this> {
    const { clock, network } = this
    const place = { dataDir: '/data', disk: this.#disk, host: '127.0.0.1', port: 9876 }
    const broker = await clock.run(startBroker({ clock, network, ...place, defaultQueues: queues }))
    this.address = broker.address
    this.#stop.push(() => broker.close())
    const producer = new Producer({ clock, network, nameServers: this.address, group: 'p' })
    await clock.run(producer.start())
    for (let n = 0; n < PER_KEY; n++) {
      for (let key = 0; key < KEYS; key++) {
        await clock.run(producer.send({ topic: 'orders', body: { n }, orderBy: `k${key}`, keys: [`k${key}`] }))
      }
    }
    this.#stop.push(() => producer.close())
    return this
  }

  async admin(): Promise<Admin> {
    const admin = new Admin({ clock: this.clock, network: this.network, nameServers: this.address })
    await this.clock.run(admin.start())
    this.#stop.push(() => admin.close())
    return admin
  }

  /** @param fails whether the handler throws */
  async member(
    name: string,
    options: Partial<PushConsumerOptions> = {},
    fails: (message: ConsumedMessage, n: number) => boolean = () => false,
  ): Promise<PushConsumer> {
    const { clock } = this
    const consumer = new PushConsumer({
      ...{ clock, network: this.network.host(name), nameServers: this.address, group: 'g', clientId: name },
      ...{ startFrom: 'first', ordered: true, orderedRetryMs: 500, ...options },
    })
    consumer.subscribe('orders', '*', async (message) => {
      const [key = ''] = message.keys
      const { n } = message.json<{ n: number }>()
      const other = this.atWork.get(key)
      if (other !== undefined) this.violations.push(`${name} begins ${key} ${n} while ${other} is at work`)
      const before = n - 1
      if (before >= 0 && before < PER_KEY && !this.settled.has(`${key} ${before}`))
        this.violations.push(`${name} begins ${key} ${n} while ${before} is not settled`)
      this.atWork.set(key, `${name} ${n}`)
      this.seen.push({ member: name, key, n, attempt: message.attempt, at: clock.monotonic() })
      await new Promise<void>((resolve) => clock.setTimer(5 + clock.random() * this.workMsMax, resolve))
      this.atWork.delete(key)
      const isFailed = fails(message, n)
      if (!isFailed || message.attempt >= (options.attemptsMax ?? Infinity)) this.settled.add(`${key} ${n}`)
      if (isFailed) throw new Error(`not ${n}`)
    })
    await clock.run(consumer.start())
    this.#stop.push(() => consumer.close())
    return consumer
  }

  /** Of each key: message n+1 is never begun before n was settled. */
  order(except: ReadonlySet<string> = new Set()): void {
    expect(this.violations).toEqual([])
    for (let key = 0; key < KEYS; key++) {
      const first: number[] = []
      for (const one of this.seen) if (one.key === `k${key}` && !first.includes(one.n)) first.push(one.n)
      if (!except.has(`k${key}`)) expect(first).toEqual(Array.from({ length: PER_KEY }, (_, n) => n))
    }
  }

  async close(): Promise<void> {
    for (const stop of this.#stop.toReversed()) await this.clock.run(stop(), 120_000)
  }
}

let world: World
afterEach(() => world.close())

test.each([1, 2, 3, 4])(
  'F58: members come, fail and leave: no key has two owners and each keeps its order, seed %i',
  async (seed) => {
    world = await new World(seed).start()
    const { clock } = world
    const often = (): boolean => clock.random() < 0.2
    const first = await world.member('10.0.0.1', {}, often)
    await clock.advance(300)
    await world.member('10.0.0.2', {}, often)
    await clock.advance(2_000)
    await world.member('10.0.0.3', {}, often)
    await clock.advance(1_000)
    await clock.run(first.close())
    await clock.advance(600_000)
    world.order()
    expect(new Set(world.seen.map(({ member }) => member)).size).toBeGreaterThan(1)
  },
)

test.each(['both', 'toServer', 'toClient'] as const)(
  'F27: a member cut off (%s) hands out nothing when its locks are over, others go on, and on its return it does not step back',
  async (direction) => {
    world = await new World(9).start()
    const { clock, network } = world
    // What it has in its cache keeps it busy for longer than its locks hold, and than the broker counts it as a member.
    world.workMsMax = 10_000
    await world.member('10.0.0.1', { concurrencyMax: 1 })
    await world.member('10.0.0.2', { concurrencyMax: 1 })
    await clock.advance(30_000)
    network.cut('10.0.0.1', direction)
    const cutAt = clock.monotonic()
    await clock.advance(900_000)
    const last = world.seen.findLast(({ member, at }) => member === '10.0.0.1' && at > cutAt)
    expect(last).toBeDefined()
    expect((last?.at ?? 0) - cutAt).toBeLessThan(60_000)
    expect(new Set(world.seen.map(({ key, n }) => `${key} ${n}`)).size).toBe(KEYS * PER_KEY)
    const before = world.seen.length
    network.heal('10.0.0.1')
    await clock.advance(300_000)
    world.order()
    expect(world.seen.length - before).toBeLessThanOrEqual(KEYS)
  },
)

test.each([1, 2, 3])(
  'F58: leases by key: members come, fail and leave, each key keeps its order and none waits for another, seed %i',
  async (seed) => {
    world = await new World(seed).start(1)
    const { clock } = world
    const byKey = { mode: 'lease', ordered: { by: 'key' }, invisibleMs: 5_000, attemptsMax: 50 } as const
    const stuckUntil = clock.monotonic() + 40_000
    const fails = (message: ConsumedMessage, n: number): boolean =>
      clock.random() < 0.1 || (message.keys[0] === 'k3' && n === 4 && clock.monotonic() < stuckUntil)
    const first = await world.member('10.0.0.1', byKey, fails)
    await clock.advance(200)
    await world.member('10.0.0.2', byKey, fails)
    await clock.advance(500)
    await clock.run(first.close())
    await clock.advance(25_000)
    const handled = new Set(world.seen.map(({ key, n }) => `${key} ${n}`))
    expect(handled.size).toBe(KEYS * PER_KEY - 7)
    await clock.advance(120_000)
    world.order()
    expect(new Set(world.seen.map(({ member }) => member)).size).toBe(2)
  },
)

test('a member whose lock another one had meanwhile goes on from what that one committed, not from its cache', async () => {
  world = await new World(7).start(1)
  const { clock, network } = world
  // It never gets past its first message.
  await world.member('10.0.0.1', { attemptsMax: Infinity }, () => true)
  await clock.advance(5_000)
  network.cut('10.0.0.1')
  await clock.advance(65_000)
  const other = new RemotingClient({ clock, network })
  const ask = async (code: number, extFields: Record<string, string | number>, body?: unknown) => {
    const init = { code, extFields, ...(body === undefined ? {} : { body: Buffer.from(JSON.stringify(body)) }) }
    return clock.run(other.request(world.address, init, 5_000))
  }
  const mqSet = [{ topic: 'orders', brokerName: 'tandemmq', queueId: 0 }]
  const owner = { consumerGroup: 'g', clientId: 'other', mqSet, withEpochs: true }
  const { epochs } = JSON.parse((await ask(RequestCode.LOCK_BATCH_MQ, {}, owner)).body.toString())
  const where = { consumerGroup: 'g', topic: 'orders', queueId: 0 }
  await ask(RequestCode.UPDATE_CONSUMER_OFFSET, { ...where, commitOffset: 30, lockEpoch: epochs[0] })
  await ask(RequestCode.UNLOCK_BATCH_MQ, {}, owner)
  await clock.run(other.close())
  const before = world.seen.length
  network.heal('10.0.0.1')
  await clock.advance(60_000)
  const after = world.seen.slice(before)
  expect(after.length).toBeGreaterThan(0)
  expect(after.filter(({ n }) => n !== 5)).toHaveLength(0)
})

test('F58 F59: a message that fails for ever goes to the dead letters after its attempts, in its place, and the rest keeps its order', async () => {
  world = await new World(5).start(1)
  const isPoison = (message: ConsumedMessage, n: number): boolean => message.keys[0] === 'k2' && n === 3
  await world.member('10.0.0.1', { attemptsMax: 4 }, isPoison)
  await world.clock.advance(120_000)
  world.order()
  const poison = world.seen.filter(({ key, n }) => key === 'k2' && n === 3)
  expect(poison.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4])
  const gaps = poison.slice(1).map(({ at }, n) => at - poison[n]!.at)
  for (const gap of gaps) expect(gap).toBeGreaterThanOrEqual(500)
  const admin = await world.admin()
  const dead = await world.clock.run(admin.deadLetters('g').next())
  expect(dead.value).toMatchObject({ reason: 'not 3', origin: { topic: 'orders', queueId: 0 } })
})

test('with the policy block nothing behind a spent message is handed out, until an operator moves the group past it', async () => {
  world = await new World(6).start(1)
  const isPoison = (message: ConsumedMessage, n: number): boolean => message.keys[0] === 'k2' && n === 3
  await world.member('10.0.0.1', { attemptsMax: 2, ordered: { onExhausted: 'block' } }, isPoison)
  await world.clock.advance(600_000)
  const place = 3 * KEYS + 2
  expect(world.seen).toHaveLength(place + 2)
  const admin = await world.admin()
  expect((await world.clock.run(admin.deadLetters('g').next())).done).toBe(true)
  await world.clock.run(admin.resetOffset('g', 'orders', 'last'))
  await world.clock.advance(60_000)
  const producer = new Producer({
    ...{ clock: world.clock, network: world.network, nameServers: world.address, group: 'q' },
  })
  await world.clock.run(producer.start())
  await world.clock.run(producer.send({ topic: 'orders', body: { n: 99 }, orderBy: 'k9', keys: ['k9'] }))
  await world.clock.advance(10_000)
  await world.clock.run(producer.close())
  expect(world.seen.at(-1)).toMatchObject({ key: 'k9', n: 99 })
  expect(world.violations).toEqual([])
})
