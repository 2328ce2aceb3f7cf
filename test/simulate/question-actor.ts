import type { Producer } from '@tandemmq/client'
import type { SeededRandom } from '../kit/seeded-random.ts'
import type { Machine } from './machine.ts'
import { hashOf, plainBody } from './parcel.ts'
import { codeOf } from './sending.ts'
import type { World } from './world.ts'

const NAME = 'asker'
const PAUSE_MS_MAX = 6_000
/** Longer than any handler works, with those ahead in its queue. */
const PATIENCE_MS = 25_000

/** Sends requests and waits for their replies, several at a time. */
export class QuestionActor {
  readonly address: string
  readonly #world: World
  readonly #topic: string
  readonly #group: string
  readonly #random: SeededRandom
  #machine: Machine | undefined
  #lives = 0
  #asked = 0

  constructor(world: World, options: { address: string; topic: string; group: string }) {
    this.#world = world
    this.address = options.address
    this.#topic = options.topic
    this.#group = options.group
    this.#random = world.random(NAME)
  }

  start(): void {
    const machine = this.#world.machine(this.address, this.#lives++)
    this.#machine = machine
    const options = this.#world.clientOptions(machine)
    const producer = new this.#world.product.client.Producer({ ...options, group: NAME, sendTimeoutMs: 10_000 })
    void producer.start().then(() => this.#work(producer, machine))
  }

  kill(): void {
    this.#machine?.kill()
    this.#world.tell(NAME, 'killed')
  }

  async #work(producer: Producer, machine: Machine): Promise<void> {
    while (!this.#world.isOver) {
      await this.#world.sleep(this.#random.next() * PAUSE_MS_MAX)
      if (machine.isDead) return
      if (this.#world.maySend(this.#random)) void this.#ask(producer)
    }
    await producer.close()
  }

  async #ask(producer: Producer): Promise<void> {
    const world = this.#world
    const id = `${NAME}-${++this.#asked}`
    const body = plainBody(id)
    const topic = this.#topic
    world.note(NAME, { event: 'send.start', id, topic, kind: 'plain', hash: hashOf(body) })
    world.note(NAME, { event: 'ask.start', id, group: this.#group })
    try {
      const reply = await producer.request({ topic, body }, { timeoutMs: PATIENCE_MS })
      world.note(NAME, { event: 'ask.ok', id, answers: reply.text() })
    } catch (error) {
      world.note(NAME, { event: 'ask.fail', id, code: codeOf(error) })
    }
  }
}
