import { messageOf } from '../../client-error.ts'
import type { ClientCore } from '../../cluster/client-core.ts'
import { ReconsumeLater, RejectMessage } from '../../message/outcome.ts'
import type { Return } from '../send-back.ts'
import { levelOf, sendBack } from '../send-back.ts'
import type { Delivery } from './consume-window.ts'
import type { QueueConsumer } from './queue-consumer.ts'

export interface SettlerOptions {
  readonly core: ClientCore
  readonly group: string
  readonly isBroadcasting: boolean
  readonly isBlocking: boolean
  attemptsMax(): number
  /** Pause before an ordered message is handled again, ms. */
  readonly orderedRetryMs: number
}

/** Pause before another try when a message could neither be handled nor given back. */
const KEPT_RETRY_MS = 5_000
const AT_ONCE_DEAD = -1
const BROKERS_BACK_OFF = 0

/** What happens to a message whose handler threw. */
export class ConsumeSettler {
  readonly #options: SettlerOptions

  constructor(options: SettlerOptions) {
    this.#options = options
  }

  /**
   * | thrown | clustering | ordered | broadcasting |
   * | --- | --- | --- | --- |
   * | RejectMessage | dead letter | dead letter | logged, gone |
   * | ReconsumeLater | back after delayMs | the queue waits delayMs | logged, gone |
   * | anything else | back after the broker's back-off | the queue waits orderedRetryMs | logged, gone |
   *
   * The delivery with number `attemptsMax` is the last; a failure then is a dead letter, or in order by policy the end of the queue.
   */
  async failed(queue: QueueConsumer, delivery: Delivery, error: unknown): Promise<void> {
    const { core, isBroadcasting, isBlocking } = this.#options
    const attemptsMax = this.#options.attemptsMax()
    const { message } = delivery
    const isExpected = error instanceof ReconsumeLater || error instanceof RejectMessage
    const report = isExpected ? 'info' : 'warn'
    core.logger[report](
      `handler of ${message.messageId} failed, attempt ${message.attempt}: ${messageOf(error)}`,
      error,
    )
    if (isBroadcasting) return queue.finish(delivery)
    const isLast = error instanceof RejectMessage || message.attempt >= attemptsMax
    if (queue.isOrdered && !isLast) {
      message.attempt++
      const delayMs = error instanceof ReconsumeLater ? error.delayMs : this.#options.orderedRetryMs
      return queue.retryHere(delivery, delayMs)
    }
    if (queue.isOrdered && isBlocking && !(error instanceof RejectMessage)) {
      const place = `${message.topic} queue ${message.queueId} offset ${message.queueOffset}`
      core.logger.error(`${message.messageId} failed ${message.attempt} times: ${place} blocks its queue`)
      return queue.block(delivery)
    }
    try {
      await sendBack(core, this.#options.group, message, this.#returnOf(queue, error, isLast), attemptsMax)
      queue.finish(delivery)
    } catch (failure) {
      core.logger.error(`message ${message.messageId} cannot be given back, kept: ${messageOf(failure)}`)
      queue.retryHere(delivery, KEPT_RETRY_MS)
    }
  }

  #returnOf(queue: QueueConsumer, error: unknown, isLast: boolean): Return {
    const reason = messageOf(error)
    // An ordered message was counted here and not by the broker.
    if (error instanceof RejectMessage || (queue.isOrdered && isLast)) return { delayLevel: AT_ONCE_DEAD, reason }
    if (error instanceof ReconsumeLater) return { delayLevel: levelOf(error.delayMs), delayMs: error.delayMs, reason }
    return { delayLevel: BROKERS_BACK_OFF, reason }
  }
}
