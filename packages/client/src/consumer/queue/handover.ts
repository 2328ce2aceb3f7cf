import { sleep } from '@tandemmq/remoting'
import type { Clock } from '@tandemmq/remoting'
import type { MessageQueue } from '../../cluster/route.ts'
import { queueKey } from '../../cluster/route.ts'
import type { QueueConsumer } from './queue-consumer.ts'

/** Longest wait for the handlers of the owner before: its messages come twice then, and the queue is not held up any longer. */
const HANDOVER_MS = 5_000

/** When a queue that another member has been consuming may be taken: who has it says when it is done with it. */
export class Handover {
  readonly #clock: Clock
  /** Monotonic ms since when a queue is asked for in vain. */
  readonly #waitingSince = new Map<string, number>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** @param held keys of the queues whose claim we got. @returns the queues that may be taken */
  takeable(queues: readonly MessageQueue[], held: ReadonlySet<string>): MessageQueue[] {
    const now = this.#clock.monotonic()
    return queues.filter((queue) => {
      const key = queueKey(queue)
      const since = this.#waitingSince.get(key) ?? now
      if (!held.has(key) && now - since < HANDOVER_MS) {
        this.#waitingSince.set(key, since)
        return false
      }
      this.#waitingSince.delete(key)
      return true
    })
  }

  /** Resolves when no handler of the queue runs any more, or they take too long. */
  async finished(queue: QueueConsumer): Promise<void> {
    const enough = new AbortController()
    await Promise.race([
      queue.idle().finally(() => enough.abort()),
      sleep(this.#clock, HANDOVER_MS, enough.signal).catch(() => undefined),
    ])
  }
}
