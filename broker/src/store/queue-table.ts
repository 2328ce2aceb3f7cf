import { ConsumeQueue } from './consume-queue.ts'
import type { LogIndex } from './log-index.ts'
import { QueueIndex } from './queue-index.ts'

/** All queues of all topics. */
export class QueueTable {
  readonly index = new QueueIndex()
  readonly #sealed: LogIndex
  readonly #topics = new Map<string, (ConsumeQueue | undefined)[]>()
  #count = 0

  constructor(sealed: LogIndex) {
    this.#sealed = sealed
  }

  find(topic: string, queueId: number): ConsumeQueue | undefined {
    return this.#topics.get(topic)?.[queueId]
  }

  get(topic: string, queueId: number): ConsumeQueue {
    let queues = this.#topics.get(topic)
    if (queues === undefined) this.#topics.set(topic, (queues = []))
    let queue = queues[queueId]
    if (queue === undefined) {
      queue = queues[queueId] = new ConsumeQueue(topic, queueId, this.index, this.#sealed)
      this.#count++
    }
    return queue
  }

  ofTopic(topic: string): ConsumeQueue[] {
    return (this.#topics.get(topic) ?? []).filter((queue) => queue !== undefined)
  }

  *all(): Iterable<ConsumeQueue> {
    for (const queues of this.#topics.values()) for (const queue of queues) if (queue !== undefined) yield queue
  }

  get count(): number {
    return this.#count
  }
}
