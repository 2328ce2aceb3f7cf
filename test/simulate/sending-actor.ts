import type { Producer, ProducerOptions } from '@tandemmq/client'
import type { SeededRandom } from '../kit/seeded-random.ts'
import type { Machine } from './machine.ts'
import type { World } from './world.ts'

export interface SendingPlan {
  readonly name: string
  readonly address: string
  readonly topic: string
  /** Longest pause between two sends, ms. */
  readonly pauseMs: number
}

/** A program with one producer that sends now and then, and is killed and started again. */
export abstract class SendingActor<Plan extends SendingPlan> {
  protected readonly world: World
  protected readonly plan: Plan
  protected readonly random: SeededRandom
  protected readonly options: Partial<ProducerOptions> = {}
  protected sent = 0
  #machine: Machine | undefined
  #lives = 0

  constructor(world: World, plan: Plan, random: SeededRandom) {
    this.world = world
    this.plan = plan
    this.random = random
  }

  get address(): string {
    return this.plan.address
  }

  start(): void {
    const { name, address } = this.plan
    const machine = this.world.machine(address, this.#lives++)
    this.#machine = machine
    const { Producer } = this.world.product.client
    const options = { ...this.world.clientOptions(machine), ...this.options }
    const producer = new Producer({ ...options, group: name, sendTimeoutMs: 10_000 })
    void producer.start().then(() => this.#work(producer, machine))
  }

  kill(): void {
    this.#machine?.kill()
    this.world.tell(this.plan.name, 'killed')
  }

  /** Not awaited: a producer has many sends under way. */
  protected abstract send(producer: Producer, machine: Machine): void

  async #work(producer: Producer, machine: Machine): Promise<void> {
    while (!this.world.isOver) {
      await this.world.sleep(this.random.next() * this.plan.pauseMs)
      if (machine.isDead) return
      if (this.world.maySend(this.random)) this.send(producer, machine)
    }
    await producer.close()
  }
}
