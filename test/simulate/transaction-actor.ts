import type { ConsumedMessage, TransactionDecision, TransactionProducer } from '@tandemmq/client'
import type { SeededRandom } from '../kit/seeded-random.ts'
import type { Machine } from './machine.ts'
import { drawBody, hashOf } from './parcel.ts'
import type { World } from './world.ts'

const NAME = 'payments'
const EXECUTION_MS_MAX = 2_000

/** A local transaction in a database that outlives the process. */
interface Transaction {
  readonly life: number
  decision: 'commit' | 'rollback' | undefined
}

/** Half messages with a local transaction each; some ends are never sent, and the process dies in between. */
export class TransactionActor {
  readonly address: string
  readonly #world: World
  readonly #topic: string
  readonly #random: SeededRandom
  readonly #transactions = new Map<string, Transaction>()
  #machine: Machine | undefined
  #lives = 0
  #sent = 0

  constructor(world: World, address: string, topic: string) {
    this.#world = world
    this.address = address
    this.#topic = topic
    this.#random = world.random(NAME)
  }

  start(): void {
    const life = ++this.#lives
    const machine = this.#world.machine(this.address, life)
    this.#machine = machine
    const { TransactionProducer } = this.#world.product.client
    const producer = new TransactionProducer({
      ...this.#world.clientOptions(machine),
      group: NAME,
      sendTimeoutMs: 10_000,
      retriesMax: 10,
      check: (message) => Promise.resolve(this.#check(message, life)),
    })
    void producer.start().then(() => this.#work(producer, machine, life))
  }

  kill(): void {
    this.#machine?.kill()
    this.#world.tell(NAME, 'killed')
  }

  /** Half messages nobody could decide yet. */
  get undecided(): number {
    return [...this.#transactions.values()].filter(({ decision }) => decision === undefined).length
  }

  async #work(producer: TransactionProducer, machine: Machine, life: number): Promise<void> {
    while (!this.#world.isOver) {
      await this.#world.sleep(this.#random.next() * 4_000)
      if (machine.isDead) return
      if (this.#world.maySend(this.#random)) void this.#pay(producer, machine, life)
    }
    await producer.close()
  }

  async #pay(producer: TransactionProducer, machine: Machine, life: number): Promise<void> {
    const random = this.#random
    const id = `${NAME}-${++this.#sent}`
    const decision = random.next() < 0.6 ? ('commit' as const) : ('rollback' as const)
    const isForgotten = random.next() < 0.3
    const executionMs = random.next() * EXECUTION_MS_MAX
    const body = drawBody(random, id)
    this.#transactions.set(id, { life, decision: undefined })
    this.#world.note(NAME, { event: 'send.start', id, topic: this.#topic, kind: 'half', hash: hashOf(body) })
    try {
      await producer.sendInTransaction({ topic: this.#topic, keys: id, body }, async (prepared) => {
        const { queueOffset, duplicate } = prepared
        this.#world.note(NAME, { event: 'send.ok', id, queueId: 0, offset: Number(queueOffset), duplicate })
        await this.#world.sleep(executionMs)
        if (machine.isDead) return new Promise<'unknown'>(() => {})
        this.#decide(id, decision)
        return isForgotten ? ('unknown' as const) : decision
      })
    } catch (error) {
      this.#world.note(NAME, { event: 'send.unknown', id, code: String(error) })
      this.#decide(id, 'rollback')
    }
  }

  #decide(id: string, decision: 'commit' | 'rollback'): void {
    const transaction = this.#transactions.get(id)
    if (transaction === undefined || transaction.decision !== undefined) return
    transaction.decision = decision
    this.#world.note(NAME, { event: decision === 'commit' ? 'local.commit' : 'local.rollback', id })
  }

  #check(message: ConsumedMessage, life: number): TransactionDecision {
    const id = message.keys[0] ?? ''
    const transaction = this.#transactions.get(id)
    // What a dead process had not committed its database rolled back.
    if (transaction !== undefined && transaction.life < life) this.#decide(id, 'rollback')
    const known = transaction?.decision ?? 'unknown'
    return this.#random.next() < 0.2 ? 'unknown' : known
  }
}
