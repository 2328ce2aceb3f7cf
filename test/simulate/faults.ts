import type { SeededRandom } from '../kit/seeded-random.ts'
import type { GroupActor } from './group-actor.ts'
import { BROKER, type World } from './world.ts'

interface Mortal {
  readonly address: string
  start(): void
  kill(): void
}

const KINDS = [
  'cut',
  'toServer',
  'toClient',
  'delay',
  'reset',
  'halfOpen',
  'refuse',
  'power',
  'process',
  'powerSoon',
  'syncError',
  'writeError',
  'full',
  'killMember',
  'killMember',
  'leave',
  'killProducer',
] as const

/** How long one lasts at most, ms. */
const LASTS_MS = 12_000
const CRASH_WITHIN = 200
const LOOK_MS = 20

/** Breaks things while the world is stormy, up to three at a time, and repairs each. */
export class Faults {
  readonly #world: World
  readonly #random: SeededRandom
  readonly #groups: readonly GroupActor[]
  readonly #producers: readonly Mortal[]
  #count = 0
  #active = 0
  #isBrokerBroken = false
  readonly #busy = new Set<string>()

  constructor(world: World, groups: readonly GroupActor[], producers: readonly Mortal[]) {
    this.#world = world
    this.#random = world.random('faults')
    this.#groups = groups
    this.#producers = producers
  }

  get count(): number {
    return this.#count
  }

  /** Until the storm is over and everything is repaired. */
  async storm(durationMs: number): Promise<void> {
    const until = this.#world.clock.monotonic() + durationMs
    while (this.#world.clock.monotonic() < until) {
      await this.#world.sleep(500 + this.#random.next() * 6_000)
      await this.#repair()
      if (this.#active < 3) void this.#one()
    }
    while (this.#active > 0) await this.#world.sleep(200)
    this.#world.disk.crashIn(Number.POSITIVE_INFINITY)
    await this.#repair()
    this.#world.note('faults', { event: 'heal' })
  }

  /** A disk told to lose its power later on may have done it at any time. */
  async #repair(): Promise<void> {
    if (!this.#world.disk.isDead || this.#isBrokerBroken) return
    this.#isBrokerBroken = true
    await this.#restart('power', 0)
    this.#isBrokerBroken = false
  }

  async #one(): Promise<void> {
    const kind = this.#random.pick(KINDS)
    const lastsMs = this.#random.next() * LASTS_MS
    const seed = this.#random.between(1, 1 << 30)
    this.#active++
    this.#count++
    this.#world.note('faults', { event: 'fault', kind })
    try {
      if (kind === 'power' || kind === 'process' || kind === 'powerSoon') await this.#stop(kind, lastsMs, seed)
      else if (kind === 'syncError' || kind === 'writeError') await this.#diskError(kind, lastsMs, seed)
      else if (kind === 'full') await this.#full(lastsMs)
      else if (kind === 'killMember' || kind === 'leave') await this.#member(kind, lastsMs)
      else if (kind === 'killProducer') await this.#producer(lastsMs)
      else await this.#network(kind, lastsMs)
    } finally {
      this.#active--
    }
  }

  async #network(kind: 'cut' | 'toServer' | 'toClient' | 'delay' | 'reset' | 'halfOpen' | 'refuse', lastsMs: number) {
    const { network } = this.#world
    const members = this.#groups.flatMap((group) => group.members)
    const hosts = [BROKER, ...this.#producers, ...members].map((one) => (typeof one === 'string' ? one : one.address))
    const host = this.#random.pick(hosts)
    const delayMs = this.#random.next() * 2_000
    this.#world.tell('faults', `${kind} of ${host} for ${lastsMs} ms`)
    if (kind === 'cut') network.cut(host)
    else if (kind === 'toServer' || kind === 'toClient') network.cut(host, kind)
    else if (kind === 'delay') network.delay(host, delayMs)
    else network[kind](host)
    await this.#world.sleep(lastsMs)
    network.heal(host)
  }

  async #stop(kind: 'power' | 'process' | 'powerSoon', lastsMs: number, seed: number): Promise<void> {
    if (this.#isBrokerBroken) return
    this.#isBrokerBroken = true
    this.#world.tell('faults', `${kind} of the broker, down for ${lastsMs} ms`)
    const isSoon = kind === 'powerSoon'
    if (isSoon && this.#world.settings.broker.flush === 'sync') {
      this.#world.disk.crashIn(1 + (seed % CRASH_WITHIN))
      const until = this.#world.clock.monotonic() + LASTS_MS
      while (!this.#world.disk.isDead && this.#world.clock.monotonic() < until) await this.#world.sleep(LOOK_MS)
    }
    await this.#restart(kind === 'process' ? 'process' : 'power', lastsMs, seed)
    this.#isBrokerBroken = false
  }

  async #restart(kind: 'power' | 'process', downMs: number, seed = 1): Promise<void> {
    this.#world.killBroker(kind, seed, seed % 5 === 0 ? 1 + (seed % CRASH_WITHIN) : undefined)
    await this.#world.sleep(downMs)
    await this.#world.startBroker()
  }

  async #diskError(kind: 'syncError' | 'writeError', lastsMs: number, seed: number): Promise<void> {
    if (this.#isBrokerBroken) return
    this.#isBrokerBroken = true
    const fault = this.#world.disk.fail({
      operation: kind === 'syncError' ? 'sync' : 'write',
      code: 'EIO',
      path: this.#random.pick([/commitlog/, /./]),
      after: seed % 20,
      times: 1 + (seed % 3),
    })
    await this.#world.sleep(lastsMs)
    fault.stop()
    // Whoever watches the process starts it again: after an error nothing is acknowledged any more.
    await this.#restart('process', 100)
    this.#isBrokerBroken = false
  }

  async #full(lastsMs: number): Promise<void> {
    if (this.#isBrokerBroken) return
    this.#isBrokerBroken = true
    const { disk } = this.#world
    disk.capacityBytes = this.#world.bytesOnDisk() + this.#random.between(0, 40_000)
    await this.#world.sleep(lastsMs)
    disk.capacityBytes = Number.POSITIVE_INFINITY
    this.#isBrokerBroken = false
  }

  async #member(kind: 'killMember' | 'leave', lastsMs: number): Promise<void> {
    const group = this.#random.pick(this.#groups)
    const member = this.#random.pick(group.members)
    if (this.#busy.has(member.address)) return
    this.#busy.add(member.address)
    if (kind === 'killMember') group.kill(member)
    else await group.stop(member)
    await this.#world.sleep(lastsMs)
    await group.start(member)
    this.#busy.delete(member.address)
  }

  async #producer(lastsMs: number): Promise<void> {
    const producer = this.#random.pick(this.#producers)
    if (this.#busy.has(producer.address)) return
    this.#busy.add(producer.address)
    producer.kill()
    await this.#world.sleep(lastsMs)
    producer.start()
    this.#busy.delete(producer.address)
  }
}
