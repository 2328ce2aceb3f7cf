import type { Producer } from '@tandemmq/client'
import type { SeededRandom } from '../kit/seeded-random.ts'
import type { Machine } from './machine.ts'
import { drawBody, hashOf, SMALL } from './parcel.ts'
import { settled } from './sending.ts'
import type { World } from './world.ts'

const NAME = 'desk'
const BURST = 25
const PAUSE_MS_MAX = 50_000

/** Sends bursts of messages with priorities: more at once than their group works off at once. */
export class UrgentActor {
  readonly address: string
  readonly #world: World
  readonly #topic: string
  readonly #priorities: number
  readonly #random: SeededRandom
  #machine: Machine | undefined
  #lives = 0
  #sent = 0

  constructor(world: World, options: { address: string; topic: string; priorities: number }) {
    this.#world = world
    this.address = options.address
    this.#topic = options.topic
    this.#priorities = options.priorities
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
      if (!this.#world.maySend(this.#random)) continue
      for (let n = 0; n < BURST; n++) void this.#send(producer)
    }
    await producer.close()
  }

  async #send(producer: Producer): Promise<void> {
    const id = `${NAME}-${++this.#sent}`
    // On a slow line large ones hold up what the consumer has to say for longer than its leases last.
    const body = drawBody(this.#random, id, undefined, SMALL)
    const topic = this.#topic
    const priority = this.#random.between(0, this.#priorities - 1)
    this.#world.note(NAME, { event: 'send.start', id, topic, kind: 'plain', hash: hashOf(body), priority })
    await settled(this.#world, NAME, id, producer.send({ topic, body, priority }))
  }
}
