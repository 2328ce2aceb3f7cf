import { ClientError } from '../client-error.ts'
import type { HookOptions } from '../hooks/hooks.ts'
import type { ConsumedMessage } from '../message/consumed-message.ts'
import type { GroupOptions } from '../options.ts'
import { positive } from '../options.ts'
import type { BroadcastOffsetStore } from './offset-store.ts'
import type { Allocate } from './queue/allocate.ts'
import { allocateAveragely } from './queue/allocate.ts'
import type { StartFrom } from './start-offsets.ts'

/** Brokers count time in seconds where leases end: a shorter one could be over before it is told. */
const INVISIBLE_MS_MIN = 1_000
const INVISIBLE_MS_MAX = 43_200_000

export interface PushConsumerOptions extends GroupOptions, HookOptions {
  /**
   * `clustering` (default): each message goes to one member of the group. `broadcasting`: to every member, without
   * retries. `lease`: each message goes to whoever asks first, on a lease of `invisibleMs` that is extended while its
   * handler runs; members share every queue, a slow one blocks nobody. Needs RocketMQ 5; all members must use it.
   */
  mode?: 'clustering' | 'broadcasting' | 'lease' | undefined
  /**
   * One message of a queue at a time, in its order; a failing one is tried again in place. An object says more, see
   * {@link OrderPolicy}. Default false; with `lease` what the group's setting `consumeMessageOrderly` says.
   */
  ordered?: boolean | OrderPolicy | undefined
  /** Handlers that run at a time. Default 16. */
  concurrencyMax?: number | undefined
  /**
   * Deliveries of one message in all; a failure of the last one makes it a dead letter. Infinity: it is tried for ever. Default: what
   * operators set for the group (asked for at the start and when the group changes), 16 where they set nothing. (Java's maxReconsumeTimes counts the
   * deliveries after the first.) With `ordered` the deliveries in place are counted.
   */
  attemptsMax?: number | undefined
  /** Where a group starts that the broker does not know. Default `last`: what is sent from now on. */
  startFrom?: StartFrom | undefined
  /**
   * `lease`: how long a message stays hidden from other members unless it is extended, ms; 1000 to 43,200,000. What a crash
   * costs is waiting that long. Default 60,000.
   */
  invisibleMs?: number | undefined
  /** Messages asked for at a time. Default 256; Apache brokers give 32 at most, with `lease` every broker. */
  pullBatchMax?: number | undefined
  /** Unfinished messages per queue above which its pulling pauses. Default 1000; `lease`: per topic and broker, 96. */
  queueMessagesMax?: number | undefined
  /** Bytes of them. Default 16 MiB. */
  queueBytesMax?: number | undefined
  /**
   * The same over all queues. Default 10,000; `lease`: 32 + 2 x `concurrencyMax`, because what waits here is hidden from members
   * with nothing to do.
   */
  totalMessagesMax?: number | undefined
  /** Default 64 MiB. */
  totalBytesMax?: number | undefined
  /** How often positions are committed, ms. Default 1000. */
  commitIntervalMs?: number | undefined
  /** How often the assignment is checked without being told, ms. Default 20,000. */
  rebalanceIntervalMs?: number | undefined
  /**
   * How long the broker may hold a question when nothing is there, ms. Default 15,000; `lease`: 5,000, because an Apache broker
   * does not wake a waiting one for a message that comes back.
   */
  holdMs?: number | undefined
  /** Pause before an ordered message is handled again, ms. Default 1000. */
  orderedRetryMs?: number | undefined
  /** Age at which the signal of a running handler is aborted, ms. Default 900,000. */
  handlerTimeoutMs?: number | undefined
  /**
   * A look at each message before its handler: false = it counts as consumed, no handler runs. For conditions that neither tags
   * nor SQL can say; filtered messages still travel. A filter that throws lets the message pass. Default: none.
   */
  filter?: ((message: ConsumedMessage) => boolean) | undefined
  /** How members of a group share the queues; all must use the same. Mode clustering. Default {@link allocateAveragely}. */
  allocate?: Allocate | undefined
  /**
   * `start()` fails when a member of the group wants other messages of a topic than this one. Default false: that is logged as an
   * error, naming who wants what, because a roll-out may look like it for a while. Apache brokers do not tell.
   */
  strictSubscriptions?: boolean | undefined
  /**
   * How long this member's queues wait for it after `close()` or a broken connection, ms; with a `clientId` that stays the same
   * over restarts, which it needs. A restart within that time moves no queue. Default 0: the others get its queues at once.
   * Ignored by Apache brokers.
   */
  rejoinMs?: number | undefined
  /**
   * Broadcasting: where positions are kept over restarts, e.g. {@link fileOffsetStore}. Default: in memory, i.e. `startFrom` counts
   * every time.
   */
  broadcastOffsets?: BroadcastOffsetStore | undefined
}

/** What `ordered: true` may say in more words. */
export interface OrderPolicy {
  /**
   * After `attemptsMax` failures of one message: `deadLetter` puts it there and goes on with the next, which keeps the order of the
   * rest; `block` hands out nothing more of its queue until the group is moved past it ({@link Admin.resetOffset}), or a member
   * starts, which tries it again. Mode `lease`: the broker counts too; with `block` give the group `attemptsMax: Infinity`. Default
   * `deadLetter`.
   */
  readonly onExhausted?: 'deadLetter' | 'block' | undefined
  /**
   * `key`: only messages with the same `orderBy` keep their order (those without one share a key), and one key that waits holds up no
   * other of its queue. Mode `lease` on TandemMQ; an Apache broker gives queues in their order. `queue`: all of a queue. Default `queue`.
   */
  readonly by?: 'key' | 'queue' | undefined
}

export interface ConsumerSettings {
  readonly isBroadcasting: boolean
  readonly isLeasing: boolean
  readonly isOrdered: boolean
  /** Ordered was left open: what the group's settings say. Mode lease. */
  readonly isOrderOpen: boolean
  readonly invisibleMs: number
  readonly allocate: Allocate
  readonly broadcastOffsets: BroadcastOffsetStore | undefined
  readonly concurrencyMax: number
  /** Undefined: as the group's settings say. */
  readonly attemptsMax: number | undefined
  readonly isBlocking: boolean
  /** The order of each key counts. Mode lease. */
  readonly isByKey: boolean
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
  readonly rejoinMs: number
  readonly isStrict: boolean
  readonly handlerTimeoutMs: number
}

/** @throws {ClientError} OPTION_INVALID */
export function consumerSettings(options: PushConsumerOptions): ConsumerSettings {
  const mode = options.mode ?? 'clustering'
  if (mode !== 'clustering' && mode !== 'broadcasting' && mode !== 'lease') {
    const detail = `mode "${String(mode)}" does not exist; use 'clustering', 'broadcasting' or 'lease'`
    throw new ClientError('OPTION_INVALID', detail)
  }
  const isLeasing = mode === 'lease'
  const { ordered = false } = options
  const isOrdered = ordered !== false
  if (isOrdered && mode === 'broadcasting') {
    throw new ClientError('OPTION_INVALID', "ordered needs mode 'clustering' or 'lease'")
  }
  const concurrencyMax = positive('concurrencyMax', options.concurrencyMax ?? 16)
  return {
    isBroadcasting: mode === 'broadcasting',
    isLeasing,
    isOrdered,
    isOrderOpen: isLeasing && options.ordered === undefined,
    invisibleMs: invisibleMsOf(options.invisibleMs ?? 60_000),
    allocate: functionOf('allocate', options.allocate ?? allocateAveragely),
    broadcastOffsets: options.broadcastOffsets,
    concurrencyMax,
    attemptsMax: options.attemptsMax === undefined ? undefined : positive('attemptsMax', options.attemptsMax),
    isBlocking: isBlocking(ordered),
    isByKey: isByKey(ordered, isLeasing),
    startFrom: checkedStart(options.startFrom ?? 'last'),
    pullBatchMax: positive('pullBatchMax', options.pullBatchMax ?? 256),
    queueMessagesMax: positive('queueMessagesMax', options.queueMessagesMax ?? (isLeasing ? 96 : 1_000)),
    queueBytesMax: positive('queueBytesMax', options.queueBytesMax ?? 16 << 20),
    totalMessagesMax: positive(
      'totalMessagesMax',
      options.totalMessagesMax ?? (isLeasing ? 32 + 2 * concurrencyMax : 10_000),
    ),
    totalBytesMax: positive('totalBytesMax', options.totalBytesMax ?? 64 << 20),
    commitIntervalMs: positive('commitIntervalMs', options.commitIntervalMs ?? 1_000),
    rebalanceIntervalMs: positive('rebalanceIntervalMs', options.rebalanceIntervalMs ?? 20_000),
    holdMs: positive('holdMs', options.holdMs ?? (isLeasing ? 5_000 : 15_000)),
    orderedRetryMs: positive('orderedRetryMs', options.orderedRetryMs ?? 1_000),
    rejoinMs: rejoinMsOf(options),
    isStrict: options.strictSubscriptions ?? false,
    handlerTimeoutMs: positive('handlerTimeoutMs', options.handlerTimeoutMs ?? 900_000),
  }
}

function isByKey(ordered: boolean | OrderPolicy, isLeasing: boolean): boolean {
  const by = typeof ordered === 'boolean' ? 'queue' : (ordered.by ?? 'queue')
  if (by !== 'key' && by !== 'queue') {
    throw new ClientError('OPTION_INVALID', `ordered.by must be 'key' or 'queue', not ${String(by)}`)
  }
  if (by === 'key' && !isLeasing) throw new ClientError('OPTION_INVALID', "ordered by key needs mode 'lease'")
  return by === 'key'
}

function isBlocking(ordered: boolean | OrderPolicy): boolean {
  const onExhausted = typeof ordered === 'boolean' ? 'deadLetter' : (ordered.onExhausted ?? 'deadLetter')
  if (onExhausted === 'deadLetter' || onExhausted === 'block') return onExhausted === 'block'
  throw new ClientError('OPTION_INVALID', `onExhausted must be 'deadLetter' or 'block', not ${String(onExhausted)}`)
}

function invisibleMsOf(value: number): number {
  if (Number.isInteger(value) && value >= INVISIBLE_MS_MIN && value <= INVISIBLE_MS_MAX) return value
  throw new ClientError(
    'OPTION_INVALID',
    `invisibleMs must be a whole number from ${INVISIBLE_MS_MIN} to ${INVISIBLE_MS_MAX}, not ${String(value)}`,
  )
}

function rejoinMsOf({ rejoinMs = 0, clientId }: PushConsumerOptions): number {
  if (rejoinMs > 0 && clientId === undefined) {
    throw new ClientError('OPTION_INVALID', 'rejoinMs needs a clientId that is the same after a restart')
  }
  return positive('rejoinMs', rejoinMs, 0)
}

function functionOf<F>(name: string, value: F): F {
  if (typeof value === 'function') return value
  throw new ClientError('OPTION_INVALID', `${name} must be a function, not ${String(value)}`)
}

export function checkedStart(startFrom: StartFrom): StartFrom {
  const isDate = startFrom instanceof Date && !Number.isNaN(startFrom.getTime())
  if (startFrom === 'first' || startFrom === 'last' || isDate) return startFrom
  throw new ClientError('OPTION_INVALID', `startFrom must be 'first', 'last' or a Date, not ${String(startFrom)}`)
}
