import type { OutgoingMessage, Producer, SendReceipt } from '@tandemmq/client'
import type { Machine } from './machine.ts'
import { drawBody, hashOf, tagOf } from './parcel.ts'
import { SendingActor, type SendingPlan } from './sending-actor.ts'
import { settled } from './sending.ts'
import { cancel, reschedule } from './timer-acts.ts'
import type { World } from './world.ts'

type Kind = 'plain' | 'dedup' | 'batch' | 'delayed'

export interface ProducerPlan extends SendingPlan {
  readonly kinds: readonly ('plain' | 'dedup' | 'batch' | 'delayed' | 'ordered')[]
}

const BATCH_MAX = 6
const DELAY_MS_MAX = 40_000

/** Sends every kind of message, cancels some delayed ones, repeats dedup keys, and is killed and started again. */
export class ProducerActor extends SendingActor<ProducerPlan> {
  protected override readonly options = { retriesMax: 10 }
  #keys: string[] = []

  constructor(world: World, plan: ProducerPlan) {
    super(world, plan, world.random(`producer ${plan.name}`))
  }

  protected send(producer: Producer, machine: Machine): void {
    const kind = this.random.pick(this.plan.kinds)
    void (kind === 'batch' ? this.#sendBatch(producer) : this.#sendOne(producer, machine, kind))
  }

  async #sendOne(producer: Producer, machine: Machine, kind: 'plain' | 'dedup' | 'delayed' | 'ordered') {
    const random = this.random
    const key = kind === 'ordered' ? `k${random.between(1, 6)}` : undefined
    const delayMs = kind === 'delayed' ? random.between(0, DELAY_MS_MAX) : undefined
    const dedupKey = kind === 'dedup' ? this.#dedupKey() : undefined
    const isRegretted = kind === 'delayed' && random.next() < 0.4
    const regretMs = random.between(0, DELAY_MS_MAX)
    const form = kind === 'ordered' ? 'plain' : kind
    const message = this.#message(form, key, delayMs, dedupKey)
    const sending = producer.send({ ...message.outgoing, orderBy: key, delayMs, dedupKey })
    const receipt = await settled(this.world, this.plan.name, message.id, sending)
    if (receipt === undefined || form !== 'delayed') return
    await this.#regret({ producer, machine, id: message.id, receipt, regretMs, isRegretted })
  }

  async #sendBatch(producer: Producer): Promise<void> {
    const count = this.random.between(2, BATCH_MAX)
    const messages = Array.from({ length: count }, () => this.#message('batch'))
    const sending = producer.sendAll(messages.map(({ outgoing }) => outgoing))
    const results = messages.map(({ id }, at) =>
      settled(
        this.world,
        this.plan.name,
        id,
        sending.then((receipts) => receipts[at] as SendReceipt),
      ),
    )
    await Promise.all(results)
  }

  #message(kind: Kind, key?: string, delayMs?: number, dedupKey?: string): { id: string; outgoing: OutgoingMessage } {
    const { topic, name } = this.plan
    const id = `${name}-${++this.sent}`
    const tag = tagOf(this.sent)
    const body = drawBody(this.random, id, key)
    this.world.note(name, {
      event: 'send.start',
      id,
      topic,
      kind,
      hash: hashOf(body),
      ...(delayMs !== undefined && { delayMs }),
      ...(dedupKey !== undefined && { dedupKey }),
      ...(tag !== undefined && { tag }),
    })
    return { id, outgoing: { topic, body, tag } }
  }

  /** Moves some delayed messages to other times, now and then twice, and takes some back. */
  async #regret(one: {
    producer: Producer
    machine: Machine
    id: string
    receipt: SendReceipt
    regretMs: number
    isRegretted: boolean
  }): Promise<void> {
    const { world, random } = { world: this.world, random: this.random }
    const { machine, regretMs, isRegretted } = one
    const moves = random.pick([0, 0, 1, 2])
    const waiting = { world, name: this.plan.name, producer: one.producer, id: one.id, receipt: one.receipt }
    for (let n = 0; n < moves; n++) {
      await world.sleep(random.next() * 10_000)
      if (machine.isDead || world.isOver) return
      await reschedule(waiting, random.between(0, DELAY_MS_MAX))
    }
    if (!isRegretted) return
    await world.sleep(regretMs)
    if (!machine.isDead && !world.isOver) await cancel(waiting)
  }

  /** New, or one of the last few again. */
  #dedupKey(): string {
    if (this.#keys.length > 0 && this.random.next() < 0.5) return this.random.pick(this.#keys)
    const key = `${this.plan.name}-key-${this.sent}`
    this.#keys = [...this.#keys.slice(-4), key]
    return key
  }
}
