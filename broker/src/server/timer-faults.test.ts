import { encodeProperties, type RemotingCommand, ResponseCode, TandemRequestCode } from '@tandemmq/protocol'
import { RemotingClient, systemClock, systemNetwork } from '@tandemmq/remoting'
import { MemoryNetwork, VirtualClock } from '@tandemmq/remoting/simulation'
import { expect, test } from 'vitest'
import { type Broker, startBroker } from '../broker.ts'
import { FaultDisk } from '../store/fault-disk.ts'
import { MemoryDisk } from '../store/memory-disk.ts'

const HOUR = 3_600_000
/** Deliveries in one turn of the loop (deliveries.ts). */
const SLICE = 500

/** @param dueAt ms since 1970; 0: at once */
function sendOf(topic: string, id: string, now: number, dueAt: number) {
  const own = { UNIQ_KEY: id, KEYS: id, ...(dueAt > 0 && { TIMER_DELIVER_MS: `${dueAt}` }) }
  const names = { a: 'p', b: topic, c: 'TBW102', d: 1, e: 0, f: 0, g: now, h: 0, j: 0, k: 'false', m: 'false' }
  const extFields = { ...names, i: encodeProperties(own).toString() }
  return { code: 310, version: 441, extFields, body: Buffer.from(id) }
}

/** A broker on a disk that fails on purpose. */
class World {
  readonly clock = new VirtualClock({ seed: 1 })
  readonly network = new MemoryNetwork({ clock: this.clock })
  disk: FaultDisk
  readonly lines: string[] = []
  #broker: Broker | undefined
  #client: RemotingClient | undefined

  constructor() {
    this.disk = new FaultDisk({ seed: 1, soon: (callback) => this.clock.soon(callback) })
  }

  static async start(): Promise<World> {
    const world = new World()
    await world.open()
    return world
  }

  async open(): Promise<void> {
    const { clock, network, disk } = this
    const log = (line: string): void => void this.lines.push(line)
    const sizes = { messageBytesMax: 4096, segmentBytes: 256 << 10, checkpointBytes: 1 << 20 }
    const options = { clock, network, disk, dataDir: 'data', port: 9876, dedupWindowMs: 0, log, ...sizes }
    this.#broker = await clock.run(startBroker(options))
    this.#client = new RemotingClient({ clock, network })
  }

  get broker(): Broker {
    if (this.#broker === undefined) throw new Error('no broker')
    return this.#broker
  }

  get waiting(): number {
    return this.broker.stats().delay.pending
  }

  ask(code: number, extFields: Record<string, string | number>, body: Buffer): Promise<RemotingCommand> {
    if (this.#client === undefined) throw new Error('no broker')
    return this.#client.request('127.0.0.1:9876', { code, version: 441, extFields, body }, 600_000)
  }

  /** @param dueAt ms since 1970; 0: at once */
  send(topic: string, id: string, dueAt = 0): Promise<RemotingCommand> {
    const { extFields, body } = sendOf(topic, id, this.clock.now(), dueAt)
    return this.ask(310, extFields, body)
  }

  cancel(key: string): Promise<RemotingCommand> {
    const body = JSON.stringify({ topic: 'orders', key })
    return this.clock.run(this.ask(TandemRequestCode.CANCEL_TIMER_BY_KEY, {}, Buffer.from(body)))
  }

  delivered(topic = 'orders'): { id: string; at: number }[] {
    return this.broker.messages(topic).map(({ body, storeTimestamp }) => ({ id: body.toString(), at: storeTimestamp }))
  }

  /** The power goes and comes back; the old broker is left to itself on a dead disk. */
  async powerCut(seed: number): Promise<void> {
    const [old, cut] = [this.#broker, this.disk]
    this.disk = this.disk.powerCut({ seed, soon: (callback) => this.clock.soon(callback) })
    await this.clock.run(this.#client?.close() ?? Promise.resolve())
    cut.holdSyncs = false
    cut.releaseSyncs()
    old?.close().catch(() => {})
    await this.clock.advance(1)
    await this.open()
  }

  async close(): Promise<void> {
    await this.clock.run(this.#client?.close() ?? Promise.resolve())
    await this.clock.run(this.#broker?.close() ?? Promise.resolve())
  }
}

test('F56: after power cuts while timers are parked, wait and fire, each that was acknowledged comes once, none early', async () => {
  const world = await World.start()
  const { clock } = world
  const due = new Map<string, number>()
  const acknowledged = new Set<string>()
  const first = clock.now() + HOUR
  const park = (count: number): void => {
    for (let n = 0; n < count; n++) {
      const id = `m${due.size}`
      const dueAt = first + ((due.size * 7_919) % 60_000)
      due.set(id, dueAt)
      const stored = ({ code }: RemotingCommand): void => void (code === 0 && acknowledged.add(id))
      world.send('orders', id, dueAt).then(stored, () => {})
    }
  }
  park(1_000)
  await clock.advance(1_000)
  expect(acknowledged.size).toBe(1_000)
  park(500)
  // Some of these are on the disk, some are not.
  world.disk.holdSyncs = true
  await clock.advance(5)
  await world.powerCut(11)
  expect(world.waiting).toBeGreaterThanOrEqual(1_000)
  park(1_000)
  await clock.advance(HOUR - 10_000)
  await world.powerCut(12)
  const parked = world.waiting
  expect(parked).toBeGreaterThanOrEqual(2_000)
  for (let cut = 0; cut < 3; cut++) {
    await clock.advance(20_000)
    await world.powerCut(13 + cut)
  }
  await clock.advance(60_000)
  expect(world.waiting).toBe(0)
  const delivered = world.delivered()
  const ids = new Set(delivered.map(({ id }) => id))
  expect(ids.size).toBe(delivered.length)
  expect([...acknowledged].filter((id) => !ids.has(id))).toEqual([])
  expect(delivered.length).toBe(parked)
  for (const { id, at } of delivered) expect(at, id).toBeGreaterThanOrEqual(due.get(id) ?? Number.NaN)
  await world.close()
})

test('live sends over a socket are answered while an overdue backlog is delivered, after a few slices of it', {
  timeout: 60_000,
}, async () => {
  const backlog = 20_000
  const clock = new VirtualClock({ seed: 1, soon: 'real' })
  const files = { disk: new MemoryDisk(), dataDir: 'data', dedupWindowMs: 0 }
  const broker = await startBroker({ clock, ...files, port: 0, log: () => {} })
  const client = new RemotingClient({ clock: systemClock, network: systemNetwork })
  const send = (topic: string, id: string, dueAt = 0) =>
    client.request(broker.address, sendOf(topic, id, clock.now(), dueAt), 600_000)
  const dueAt = clock.now() + HOUR
  for (let n = 0; n < backlog; n += 1_000) {
    await Promise.all(Array.from({ length: 1_000 }, (_, i) => send('orders', `m${n + i}`, dueAt)))
  }
  expect(broker.stats().delay.pending).toBe(backlog)
  clock.jumpWall(2 * HOUR)
  const fires = (): number => broker.stats().delay.fired
  const answeredAfter: number[] = []
  const live = (async () => {
    while (fires() < backlog) {
      const before = fires()
      expect((await send('live', 'x')).code).toBe(0)
      if (before > 0) answeredAfter.push(fires() - before)
    }
  })()
  await clock.advance(2_000)
  await live
  expect(fires()).toBe(backlog)
  // In slices of 500: a request is read, stored and answered, each in a turn of the loop that begins with one.
  expect(Math.max(...answeredAfter)).toBeLessThanOrEqual(12 * SLICE)
  expect(answeredAfter.length).toBeGreaterThan(5)
  await client.close()
  await broker.close()
})

test('timers due while the disk is full wait for room, cancels are refused and decide nothing, and all come once', async () => {
  const world = await World.start()
  const { clock, disk } = world
  const dueAt = clock.now() + HOUR
  for (let n = 0; n < 50; n++) world.send('orders', `m${n}`, dueAt + n).catch(() => {})
  world.send('orders', 'late', dueAt + HOUR).catch(() => {})
  await clock.advance(1_000)
  disk.capacityBytes = 0
  await clock.advance(HOUR + 60_000)
  expect(world.delivered()).toEqual([])
  expect(world.waiting).toBe(51)
  expect(world.broker.stats().delay.retried).toBeGreaterThan(5)
  expect((await world.cancel('late')).code).not.toBe(ResponseCode.SUCCESS)
  const refused = world.send('orders', 'new', clock.now() + HOUR)
  expect((await clock.run(refused)).code).not.toBe(0)
  expect(world.lines.some((line) => line.includes('has no room'))).toBe(true)
  disk.capacityBytes = Infinity
  await clock.advance(30_000)
  const ids = world.delivered().map(({ id }) => id)
  expect(ids.toSorted()).toEqual(Array.from({ length: 50 }, (_, n) => `m${n}`).toSorted())
  expect(JSON.parse((await world.cancel('late')).body.toString())).toMatchObject({ outcome: 'cancelled' })
  await clock.advance(2 * HOUR)
  expect(world.delivered()).toHaveLength(50)
  await world.close()
})

test('timers due while the store is read-only after a failed write are delivered once by the broker started next', async () => {
  const world = await World.start()
  const { clock, disk } = world
  const dueAt = clock.now() + HOUR
  for (let n = 0; n < 50; n++) world.send('orders', `m${n}`, dueAt + n).catch(() => {})
  world.send('orders', 'late', dueAt + 9 * HOUR).catch(() => {})
  await clock.advance(1_000)
  disk.fail({ operation: 'sync', code: 'EIO', path: /commitlog/, times: 1 })
  expect((await clock.run(world.send('orders', 'breaks'))).code).not.toBe(0)
  await clock.advance(2 * HOUR)
  expect(world.broker.stats().delay).toMatchObject({ fired: 0, pending: 51 })
  expect((await world.cancel('late')).code).not.toBe(ResponseCode.SUCCESS)
  await world.powerCut(3)
  await clock.advance(1_000)
  const ids = world.delivered().map(({ id }) => id)
  expect(ids.filter((id) => id !== 'breaks').toSorted()).toEqual(
    Array.from({ length: 50 }, (_, n) => `m${n}`).toSorted(),
  )
  for (const { id, at } of world.delivered()) {
    if (id !== 'breaks') expect(at, id).toBeGreaterThanOrEqual(dueAt)
  }
  await world.close()
})
