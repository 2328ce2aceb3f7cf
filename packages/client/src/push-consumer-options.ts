import { ClientError } from './client-error.ts'
import type { BroadcastOffsetStore } from './offset-store.ts'
import type { GroupOptions } from './options.ts'
import { positive } from './options.ts'
import type { StartFrom } from './start-offsets.ts'

export interface PushConsumerOptions extends GroupOptions {
  /**
   * `clustering` (default): each message goes to one member of the group. `broadcasting`: to every member, without
   * retries. `lease`: not available yet.
   */
  mode?: 'clustering' | 'broadcasting' | 'lease' | undefined
  /** One message of a queue at a time, in its order; a failing one is tried again in place. Default false. */
  ordered?: boolean | undefined
  /** Handlers that run at a time. Default 16. */
  concurrencyMax?: number | undefined
  /**
   * Deliveries of one message in all; a failure of the last one makes it a dead letter. Default 16. (Java's
   * maxReconsumeTimes counts the deliveries after the first.) With `ordered` the deliveries in place are counted.
   */
  attemptsMax?: number | undefined
  /** Where a group starts that the broker does not know. Default `last`: what is sent from now on. */
  startFrom?: StartFrom | undefined
  /** Messages asked for at a time. Default 128; Apache brokers give 32 at most. */
  pullBatchMax?: number | undefined
  /** Pulled but unfinished messages per queue above which its pulling pauses. Default 1000. */
  queueMessagesMax?: number | undefined
  /** Bytes of them. Default 16 MiB. */
  queueBytesMax?: number | undefined
  /** The same over all queues. Default 10,000. */
  totalMessagesMax?: number | undefined
  /** Default 64 MiB. */
  totalBytesMax?: number | undefined
  /** How often positions are committed, ms. Default 1000. */
  commitIntervalMs?: number | undefined
  /** How often the assignment is checked without being told, ms. Default 20,000. */
  rebalanceIntervalMs?: number | undefined
  /** How long the broker may hold a pull when nothing is there, ms. Default 15,000. */
  holdMs?: number | undefined
  /** Pause before an ordered message is handled again, ms. Default 1000. */
  orderedRetryMs?: number | undefined
  /** Age at which the signal of a running handler is aborted, ms. Default 900,000. */
  handlerTimeoutMs?: number | undefined
  /** Broadcasting: where positions are kept over restarts. Default: in memory, i.e. `startFrom` counts every time. */
  broadcastOffsets?: BroadcastOffsetStore | undefined
}

export interface ConsumerSettings {
  readonly isBroadcasting: boolean
  readonly isOrdered: boolean
  readonly concurrencyMax: number
  readonly attemptsMax: number
  readonly startFrom: StartFrom
  readonly pullBatchMax: number
  readonly queueMessagesMax: number
  readonly queueBytesMax: number
  readonly totalMessagesMax: number
  readonly totalBytesMax: number
  readonly commitIntervalMs: number
  readonly rebalanceIntervalMs: number
  readonly holdMs: number
  readonly orderedRetryMs: number
  readonly handlerTimeoutMs: number
}

/** @throws {ClientError} OPTION_INVALID */
export function consumerSettings(options: PushConsumerOptions): ConsumerSettings {
  const mode = options.mode ?? 'clustering'
  if (mode !== 'clustering' && mode !== 'broadcasting') {
    const detail = mode === 'lease' ? "mode 'lease' is not supported yet" : `mode "${String(mode)}" does not exist`
    throw new ClientError('OPTION_INVALID', `${detail}; use 'clustering' or 'broadcasting'`)
  }
  const isOrdered = options.ordered ?? false
  if (isOrdered && mode === 'broadcasting') {
    throw new ClientError('OPTION_INVALID', 'ordered needs the broker locks of mode clustering')
  }
  return {
    isBroadcasting: mode === 'broadcasting',
    isOrdered,
    concurrencyMax: positive('concurrencyMax', options.concurrencyMax ?? 16),
    attemptsMax: positive('attemptsMax', options.attemptsMax ?? 16),
    startFrom: checkedStart(options.startFrom ?? 'last'),
    pullBatchMax: positive('pullBatchMax', options.pullBatchMax ?? 128),
    queueMessagesMax: positive('queueMessagesMax', options.queueMessagesMax ?? 1_000),
    queueBytesMax: positive('queueBytesMax', options.queueBytesMax ?? 16 << 20),
    totalMessagesMax: positive('totalMessagesMax', options.totalMessagesMax ?? 10_000),
    totalBytesMax: positive('totalBytesMax', options.totalBytesMax ?? 64 << 20),
    commitIntervalMs: positive('commitIntervalMs', options.commitIntervalMs ?? 1_000),
    rebalanceIntervalMs: positive('rebalanceIntervalMs', options.rebalanceIntervalMs ?? 20_000),
    holdMs: positive('holdMs', options.holdMs ?? 15_000),
    orderedRetryMs: positive('orderedRetryMs', options.orderedRetryMs ?? 1_000),
    handlerTimeoutMs: positive('handlerTimeoutMs', options.handlerTimeoutMs ?? 900_000),
  }
}

export function checkedStart(startFrom: StartFrom): StartFrom {
  const isDate = startFrom instanceof Date && !Number.isNaN(startFrom.getTime())
  if (startFrom === 'first' || startFrom === 'last' || isDate) return startFrom
  throw new ClientError('OPTION_INVALID', `startFrom must be 'first', 'last' or a Date, not ${String(startFrom)}`)
}
