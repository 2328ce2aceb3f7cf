import type { BroadcastOffsetStore, ConsumedMessage, Producer, PushConsumer } from '@tandemmq/client'
import type { GroupPolicy } from '../crash/history.ts'
import type { SeededRandom } from '../kit/seeded-random.ts'
import type { Machine } from './machine.ts'
import { type Fate, hashOf, parcelOf } from './parcel.ts'
import type { World } from './world.ts'

export interface GroupPlan {
  readonly name: string
  readonly mode: GroupPolicy['mode']
  readonly ordered: boolean
  readonly topic: string
  /** One per member. */
  readonly addresses: readonly string[]
  /** Default everything. */
  readonly tags?: readonly string[]
  /** It replies to what it gets. */
  readonly answers?: boolean
  /** Handlers at once; default by the seed. */
  readonly concurrencyMax?: number
}

/** Pauses of the broker before a returned message, and of the SDK before a lease ends: 10 s, 30 s, ... */
const RETRY_MS = [10_000, 30_000, 60_000, 120_000]
const LATER_MS = [500, 3_000, 7_300] as const

interface Member {
  readonly address: string
  readonly name: string
  /** Of a broadcasting member: kept over its restarts, as a file would. */
  readonly offsets: BroadcastOffsetStore
  life: number
  machine: Machine | undefined
  consumer: PushConsumer | undefined
  producer: Producer | undefined
}

/** The members of one consumer group: they come, work, are killed, leave and come back. */
export class GroupActor {
  readonly plan: GroupPlan
  readonly members: readonly Member[]
  readonly #world: World
  readonly #settings
  readonly #policy: GroupPolicy

  constructor(world: World, plan: GroupPlan) {
    this.plan = plan
    this.#world = world
    const drawn = drawGroup(world.random(`group ${plan.name}`))
    this.#settings = { ...drawn, concurrencyMax: plan.concurrencyMax ?? drawn.concurrencyMax }
    const { attemptsMax, orderedRetryMs } = this.#settings
    const { mode, ordered, name } = plan
    const retryMs = ordered ? [orderedRetryMs] : RETRY_MS
    this.#policy = { mode, ordered, attemptsMax, retryMs }
    this.members = plan.addresses.map((address, at) => ({
      address,
      name: mode === 'broadcasting' ? `${name}/${at}` : name,
      offsets: rememberedOffsets(),
      life: 0,
      machine: undefined,
      consumer: undefined,
      producer: undefined,
    }))
    for (const one of new Set(this.members.map((member) => member.name))) {
      world.note(name, { event: 'join', group: one, topic: plan.topic, policy: this.#policy, ...this.#tags })
    }
  }

  async start(member: Member): Promise<void> {
    const { plan } = this
    const machine = this.#world.machine(member.address, ++member.life)
    // A process has a name of its own; half of them keep it over a restart, as those with a configured one do.
    const clientId = member.life % 2 === 0 ? member.address : `${member.address}#${member.life}`
    const consumer = new this.#world.product.client.PushConsumer({
      ...this.#world.clientOptions(machine, clientId),
      ...this.#settings,
      group: plan.name,
      mode: plan.mode,
      ordered: plan.ordered,
      startFrom: 'first',
      broadcastOffsets: plan.mode === 'broadcasting' ? member.offsets : undefined,
    })
    member.machine = machine
    member.consumer = consumer
    const random = this.#world.random(`handler ${clientId} ${member.life}`)
    const filter = plan.tags === undefined ? '*' : { tags: plan.tags }
    consumer.subscribe(plan.topic, filter, (message) => this.#handle(member, machine, random, message))
    this.#changed(member, 'start')
    if (plan.answers === true) await this.#startAnswering(member, machine, clientId)
    await consumer.start()
  }

  kill(member: Member): void {
    member.machine?.kill()
    member.consumer = undefined
    this.#changed(member, 'kill')
  }

  async stop(member: Member): Promise<void> {
    const { consumer, producer } = member
    member.consumer = undefined
    this.#changed(member, 'leave')
    await consumer?.close()
    await producer?.close()
    this.#changed(member, 'left')
  }

  get #tags(): { tags?: readonly string[] } {
    return this.plan.tags === undefined ? {} : { tags: this.plan.tags }
  }

  async #startAnswering(member: Member, machine: Machine, clientId: string): Promise<void> {
    const options = this.#world.clientOptions(machine, `${clientId}#answers`)
    member.producer = new this.#world.product.client.Producer({ ...options, group: `${this.plan.name}-answers` })
    await member.producer.start()
  }

  /** The reply names what it is for. Without one the requester asks again, or gives up: consumed all the same. */
  async #answer({ producer, address }: Member, message: ConsumedMessage, id: string): Promise<void> {
    if (this.plan.answers !== true || producer === undefined) return
    await producer
      .reply(message, id)
      .catch((error: unknown) => this.#world.tell(address, `reply to ${id}: ${String(error)}`))
  }

  #changed(member: Member, change: string): void {
    this.#world.note(member.address, { event: 'member', group: member.name, member: member.address, change })
  }

  async #handle(member: Member, machine: Machine, random: SeededRandom, message: ConsumedMessage): Promise<void> {
    // A dead process begins nothing.
    if (machine.isDead) return new Promise(() => {})
    const world = this.#world
    const group = member.name
    const body = message.text()
    const { id, fate, key } = parcelOf(body)
    const op = world.nextOp()
    const { attempt, queueId, topic, storedTopic } = message
    const redrivenFrom = message.properties['DLQ_REDRIVEN_FROM']
    // A leased retry is shown under its first topic, with the position it has among the retries.
    const isFirst = redrivenFrom === undefined && storedTopic === topic && (attempt === 1 || this.plan.ordered)
    const stored = isFirst ? topic : `%RETRY%${group}`
    const offset = Number(message.queueOffset)
    const place = { group, topic, queueId, offset }
    if (isFirst) world.note(member.address, { event: 'recv', id, hash: hashOf(body), ...place })
    const storedWall = message.storedAt.getTime()
    const more = { member: member.address, stored, attempt, storedWall, ...(key !== undefined && { key }) }
    const past = redrivenFrom === undefined ? {} : { redriven: Number(redrivenFrom) }
    world.note(member.address, { event: 'handle.start', op, id, ...place, ...more, ...past })
    await world.sleep(workMs(random))
    if (machine.isDead) return new Promise(() => {})
    await this.#answer(member, message, id)
    if (machine.isDead) return new Promise(() => {})
    const { ReconsumeLater, RejectMessage } = world.product.client
    const verdict = verdictOf(fate, attempt)
    world.note(member.address, { event: 'handle.end', op, id, group, ...verdict })
    if (verdict.outcome === 'reject') throw new RejectMessage(`nobody wants ${id}`)
    if (verdict.delayMs !== undefined) throw new ReconsumeLater({ delayMs: verdict.delayMs })
    if (verdict.outcome === 'retry') throw new Error(`cannot take ${id}`)
  }
}

function verdictOf(fate: Fate, attempt: number): { outcome: 'ok' | 'retry' | 'reject'; delayMs?: number } {
  if (fate.kind === 'reject') return { outcome: 'reject' }
  if (fate.kind === 'poison' || (fate.kind === 'flaky' && attempt <= fate.n)) return { outcome: 'retry' }
  if (fate.kind === 'later' && attempt === 1) return { outcome: 'retry', delayMs: LATER_MS[fate.n] ?? 500 }
  return { outcome: 'ok' }
}

/** Mostly quick; some take as long as a lease. */
function workMs(random: SeededRandom): number {
  const n = random.next()
  if (n < 0.3) return 0
  return n < 0.95 ? random.next() * 200 : random.next() * 8_000
}

function drawGroup(random: SeededRandom) {
  return {
    concurrencyMax: random.between(2, 12),
    attemptsMax: random.between(2, 4),
    invisibleMs: random.pick([3_000, 10_000, 30_000]),
    pullBatchMax: random.pick([1, 8, 128]),
    queueMessagesMax: random.pick([16, 1_000]),
    commitIntervalMs: random.pick([200, 1_000, 5_000]),
    rebalanceIntervalMs: random.pick([2_000, 20_000]),
    holdMs: random.pick([2_000, 15_000]),
    orderedRetryMs: random.pick([200, 1_000]),
    drainTimeoutMs: random.pick([500, 10_000]),
  }
}

function rememberedOffsets(): BroadcastOffsetStore {
  const offsets = new Map<string, bigint>()
  const keyOf = (group: string, queue: { topic: string; brokerName: string; queueId: number }): string =>
    `${group} ${queue.topic} ${queue.brokerName} ${queue.queueId}`
  return {
    read: (group, queue) => Promise.resolve(offsets.get(keyOf(group, queue))),
    write: (group, queue, offset) => {
      offsets.set(keyOf(group, queue), offset)
      return Promise.resolve()
    },
  }
}
