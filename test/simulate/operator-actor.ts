import type { Admin, MessageQueue, PullConsumer, TopicOptions } from '@tandemmq/client'
import type { SeededRandom } from '../kit/seeded-random.ts'
import type { GroupActor } from './group-actor.ts'
import { hashOf, parcelOf } from './parcel.ts'
import { redrive } from './redrive-act.ts'
import type { World } from './world.ts'

const NAME = 'operator'
const READER = 'auditors'
const TRIES = 40
const AGAIN_MS = 1_000
const LOOK_MS = 5_000
/**
 * A filtered member hears of what is not for it at the end of its waiting pull (15 s at most), and every 15th commit (5 s apart
 * at most) tells a position again that did not move, as after the group was forgotten.
 */
const POSITIONS_MS = 100_000

/** Creates what there is, moves and deletes it while others work, and reads everything when they are done. */
export class OperatorActor {
  readonly #world: World
  readonly #groups: readonly GroupActor[]
  readonly #random: SeededRandom
  readonly #admin: Admin
  readonly #pull: PullConsumer
  /** Topics deleted and created again now and then. */
  readonly #fleeting: readonly string[]

  constructor(world: World, groups: readonly GroupActor[], fleeting: readonly string[], address: string) {
    this.#world = world
    this.#groups = groups
    this.#fleeting = fleeting
    this.#random = world.random(NAME)
    const { Admin, PullConsumer } = world.product.client
    const options = world.clientOptions(world.machine(address))
    this.#admin = new Admin(options)
    this.#pull = new PullConsumer({ ...options, clientId: `${address}#pull`, group: READER })
  }

  async start(topics: Readonly<Record<string, TopicOptions>>): Promise<void> {
    await this.#admin.start()
    await this.#pull.start()
    for (const [topic, options] of Object.entries(topics)) await this.#admin.createTopic(topic, options)
    for (const { plan } of this.#groups) {
      if (plan.mode === 'lease' && plan.ordered) await this.#admin.createGroup(plan.name, { ordered: true })
    }
  }

  async close(): Promise<void> {
    await this.#admin.close()
    await this.#pull.close()
  }

  /** Goes on until `isOver`; no new act while the world drains. */
  async work(): Promise<void> {
    const rewind = (): Promise<void> => this.#rewind()
    const redriveSome = (): Promise<void> => this.#redrive()
    const acts = [rewind, rewind, redriveSome, redriveSome, () => this.#recreate(), () => this.#forget()]
    while (!this.#world.isOver) {
      await this.#world.sleep(5_000 + this.#random.next() * 40_000)
      const act = this.#random.pick(acts)
      if (this.#world.isDraining || this.#world.isOver) continue
      await act().catch((error: unknown) => this.#world.tell(NAME, `failed: ${String(error)}`))
    }
  }

  async #rewind(): Promise<void> {
    const { name: group, mode, topic } = this.#random.pick(this.#groups).plan
    const to = this.#random.pick(['first', 'last', 'before'] as const)
    const agoMs = this.#random.between(1_000, 120_000)
    if (mode === 'broadcasting') return
    const at = this.#world.brokerNow() - agoMs
    const told = to === 'first' ? 0 : to === 'last' ? -1 : at
    this.#world.note(NAME, { event: 'rewind.start', group, topic, to: told })
    // Without an answer it may still happen: it counts as begun, for ever.
    await this.#until(() => this.#admin.resetOffset(group, topic, to === 'before' ? new Date(at) : to))
    this.#world.note(NAME, { event: 'rewind.ok', group, topic, to: told })
  }

  async #redrive(): Promise<void> {
    const { name, mode } = this.#random.pick(this.#groups).plan
    if (mode === 'broadcasting') return
    await this.#until(() => redrive(this.#world, this.#admin, this.#random, name))
  }

  async #recreate(): Promise<void> {
    const topic = this.#random.pick(this.#fleeting)
    const queues = this.#random.between(1, 3)
    this.#world.note(NAME, { event: 'delete.start', topic })
    await this.#until(() => this.#admin.deleteTopic(topic))
    this.#world.note(NAME, { event: 'delete.ok', topic })
    await this.#until(() => this.#admin.createTopic(topic, { queues }))
  }

  async #forget(): Promise<void> {
    const { plan } = this.#random.pick(this.#groups)
    if (plan.mode !== 'clustering' || plan.ordered) return
    const group = plan.name
    this.#world.note(NAME, { event: 'forget.start', group })
    await this.#until(() => this.#admin.deleteGroup(group, { positions: true }))
    this.#world.note(NAME, { event: 'forget.ok', group })
  }

  /** Reads every topic and every dead letter, and asks the broker how much is still to do. */
  async audit(topics: readonly string[], undecided: number): Promise<void> {
    for (const topic of topics) {
      this.#world.note(NAME, { event: 'join', group: READER, topic })
      for (const queue of await this.#pull.queues(topic)) await this.#readQueue(queue)
    }
    const known = new Set(await this.#admin.topics())
    for (const { plan } of this.#groups) {
      const dead = `%DLQ%${plan.name}`
      if (!known.has(dead)) continue
      for (const queue of await this.#pull.queues(dead)) await this.#readDead(plan.name, queue)
    }
    const open = await this.#admin.transactions()
    this.#world.note(NAME, {
      event: 'account',
      what: 'open transactions beyond the undecided',
      told: Math.max(0, open.length - undecided),
      due: 0,
    })
    const { delay } = this.#world.broker?.stats() ?? { delay: { pending: -1 } }
    this.#world.note(NAME, { event: 'account', what: 'pending timers', told: delay.pending, due: 0 })
    for (const { plan } of this.#groups) await this.#accountFor(plan.name, plan.mode)
  }

  async #accountFor(group: string, mode: string): Promise<void> {
    if (mode === 'broadcasting') return
    const until = this.#world.clock.monotonic() + POSITIONS_MS
    let progress = await this.#admin.progress(group)
    while (progress.some((one) => one.committedOffset < one.maxOffset) && this.#world.clock.monotonic() < until) {
      await this.#world.sleep(LOOK_MS)
      progress = await this.#admin.progress(group)
    }
    for (const { topic, queueId, committedOffset, maxOffset } of progress) {
      const what = `position of ${group} in ${topic}/${queueId}`
      this.#world.note(NAME, { event: 'account', what, told: Number(committedOffset), due: Number(maxOffset) })
    }
  }

  async #readQueue(queue: MessageQueue): Promise<void> {
    const { topic, queueId } = queue
    const range = await this.#read(queue, (text, offset) => {
      const { id } = parcelOf(text)
      this.#world.note(NAME, { event: 'recv', id, hash: hashOf(text), group: READER, topic, queueId, offset })
    })
    this.#world.note(NAME, { event: 'read.all', group: READER, topic, queueId, ...range })
  }

  async #readDead(group: string, queue: MessageQueue): Promise<void> {
    await this.#read(queue, (text, offset, properties) => {
      const reason = properties['DLQ_REASON'] ?? ''
      this.#world.note(NAME, { event: 'dead', group, id: parcelOf(text).id, reason, offset })
    })
  }

  async #read(
    queue: MessageQueue,
    take: (text: string, offset: number, properties: Readonly<Record<string, string>>) => void,
  ): Promise<{ minOffset: number; maxOffset: number }> {
    const first = await this.#pull.pull(queue, 0n, { batchMax: 1 })
    const { minOffset, maxOffset } = first
    for (let offset = minOffset; offset < maxOffset; ) {
      const { messages, nextOffset } = await this.#pull.pull(queue, offset, { batchMax: 128 })
      for (const message of messages) take(message.text(), Number(message.queueOffset), message.properties)
      if (nextOffset <= offset) throw new Error(`${queue.topic}/${queue.queueId} cannot be read at ${offset}`)
      offset = nextOffset
    }
    return { minOffset: Number(minOffset), maxOffset: Number(maxOffset) }
  }

  async #until(act: () => Promise<unknown>): Promise<void> {
    for (let n = 0; ; n++) {
      try {
        await act()
        return
      } catch (error) {
        if (n >= TRIES || this.#world.isOver) throw error
        await this.#world.sleep(AGAIN_MS)
      }
    }
  }
}
