import type { ClientCore } from '../cluster/client-core.ts'
import type { MessageQueue } from '../cluster/route.ts'
import { maxOffset, minOffset, offsetAt } from './offset-requests.ts'
import type { OffsetStore } from './offset-store.ts'

/** Where a group begins that has no position yet. */
export type StartFrom = 'first' | 'last' | Date

/**
 * The first offset of a queue. A group is known in a topic when it committed any of its queues: then a queue without a
 * position is a new one and is read from its beginning. For an unknown group the start position of **every** queue
 * of the topic is committed before the first pull, so that `last` means the moment of the first start, whichever member
 * gets a queue later (remoting.md 11.2). Of members that start together the first one decides: a TandemMQ broker keeps what is
 * there, an Apache one takes the last one's word.
 */
export class StartOffsets {
  readonly #core: ClientCore
  readonly #store: OffsetStore
  readonly #startFrom: StartFrom
  readonly #decided = new Set<string>()
  readonly #deciding = new Map<string, Promise<void>>()

  constructor(core: ClientCore, store: OffsetStore, startFrom: StartFrom) {
    this.#core = core
    this.#store = store
    this.#startFrom = startFrom
  }

  /** The topic did not exist when this consumer started: everything in it is newer than the consumer. */
  topicIsYounger(topic: string): void {
    this.#decided.add(topic)
  }

  /** For those who do not ask per queue: an unknown group gets its positions in `topic`, unless it starts at the beginning. */
  async prepare(topic: string, allQueues: readonly MessageQueue[]): Promise<void> {
    if (this.#startFrom !== 'first' && !this.#decided.has(topic)) await this.#decide(topic, allQueues)
  }

  async of(queue: MessageQueue, allQueues: readonly MessageQueue[]): Promise<number> {
    const committed = await this.#store.read(queue)
    if (committed !== undefined) return committed
    if (this.#startFrom !== 'first' && !this.#decided.has(queue.topic)) {
      await this.#decide(queue.topic, allQueues)
      const decided = await this.#store.read(queue)
      if (decided !== undefined) return decided
    }
    return minOffset(this.#core, queue)
  }

  /** Once for all queues that are taken at the same time: a second look would find a later end. */
  #decide(topic: string, queues: readonly MessageQueue[]): Promise<void> {
    let deciding = this.#deciding.get(topic)
    if (deciding === undefined) {
      deciding = this.#decideNow(topic, queues).finally(() => this.#deciding.delete(topic))
      this.#deciding.set(topic, deciding)
    }
    return deciding
  }

  async #decideNow(topic: string, queues: readonly MessageQueue[]): Promise<void> {
    const known = await Promise.all(queues.map((queue) => this.#store.read(queue)))
    if (known.every((offset) => offset === undefined)) {
      const starts = await Promise.all(queues.map((queue) => this.#startOf(queue)))
      await Promise.all(queues.map((queue, index) => this.#store.begin(queue, starts[index] ?? 0)))
    }
    this.#decided.add(topic)
  }

  #startOf(queue: MessageQueue): Promise<number> {
    return this.#startFrom instanceof Date ? offsetAt(this.#core, queue, this.#startFrom) : maxOffset(this.#core, queue)
  }
}
