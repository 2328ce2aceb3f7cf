import { javaStringHash } from '@tandemmq/protocol'
import type { Clock } from '@tandemmq/remoting'
import type { MessageQueue, TopicRoute } from '../cluster/route.ts'
import { BrokerFaults } from './broker-faults.ts'

/** Which queue a message goes to. */
export class QueueSelector {
  /** Brokers that failed just now; a send tells about every failure and, when there are any, about success. */
  readonly faults: BrokerFaults
  readonly #next = new Map<string, number>()
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
    this.faults = new BrokerFaults(clock)
  }

  /**
   * Round robin from a random start, or by the hash of `orderBy` as Java's SelectMessageQueueByHash.
   * @param avoidBroker broker that failed this message; like all that failed just now it is taken when there is no other, or when
   *   the order asks for it
   */
  select(route: TopicRoute, orderBy: string | undefined, avoidBroker?: string): MessageQueue | undefined {
    const queues = route.writeQueues
    if (queues.length === 0) return undefined
    if (orderBy !== undefined) return queues[Math.abs(javaStringHash(orderBy) % queues.length)]
    const from = this.#next.get(route.topic) ?? Math.floor(this.#clock.random() * queues.length)
    let at = (from + 1) % queues.length
    if (avoidBroker !== undefined || !this.faults.isEmpty) {
      const healthy = (queue: MessageQueue): boolean =>
        queue.brokerName !== avoidBroker && !this.faults.isAvoided(queue.brokerName)
      const other = (queue: MessageQueue): boolean => queue.brokerName !== avoidBroker
      at = find(queues, at, healthy) ?? find(queues, at, other) ?? at
    }
    this.#next.set(route.topic, at)
    return queues[at]
  }
}

/** Index of the first that `suits`, going round from `start`. */
function find(
  queues: readonly MessageQueue[],
  start: number,
  suits: (queue: MessageQueue) => boolean,
): number | undefined {
  for (let step = 0; step < queues.length; step++) {
    const at = (start + step) % queues.length
    const queue = queues[at]
    if (queue !== undefined && suits(queue)) return at
  }
  return undefined
}
