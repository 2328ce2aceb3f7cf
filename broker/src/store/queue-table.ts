import { ConsumeQueue } from './consume-queue.ts'
import { QueueIndex } from './queue-index.ts'

/** All queues of all topics. */
export class QueueTable {
  readonly index = new QueueIndex()
  readonly #topics = new Map<string, (ConsumeQueue | undefined)[]>()
  #count = 0

  find(topic: string, queueId: number): ConsumeQueue | undefined {
    return this.#topics.get(topic)?.[queueId]
  }

  get(topic: string, queueId: number): ConsumeQueue {
    let queues = this.#topics.get(topic)
    if (queues === undefined) this.#topics.set(topic, (queues = []))
    let queue = queues[queueId]
    if (queue === undefined) {
      queue = queues[queueId] = new ConsumeQueue(topic, queueId, this.index)
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
