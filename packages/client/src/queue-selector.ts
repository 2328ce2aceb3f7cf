import { javaStringHash } from '@tandemmq/protocol'
import type { Clock } from '@tandemmq/remoting'
import type { MessageQueue, TopicRoute } from './route.ts'

/** Which queue a message goes to. */
export class QueueSelector {
  readonly #next = new Map<string, number>()
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * Round robin from a random start, or by the hash of `orderBy` as Java's SelectMessageQueueByHash.
   * @param avoidBroker broker that failed just now; kept to when there is no other, or when the order asks for it
   */
  select(route: TopicRoute, orderBy: string | undefined, avoidBroker?: string): MessageQueue | undefined {
    const queues = route.writeQueues
    if (queues.length === 0) return undefined
    if (orderBy !== undefined) return queues[Math.abs(javaStringHash(orderBy) % queues.length)]
    let at = this.#next.get(route.topic) ?? Math.floor(this.#clock.random() * queues.length)
    let queue: MessageQueue | undefined
    for (let step = 0; step < queues.length; step++) {
      at = (at + 1) % queues.length
      queue = queues[at]
      if (queue?.brokerName !== avoidBroker) break
    }
    this.#next.set(route.topic, at)
    return queue
  }
}
