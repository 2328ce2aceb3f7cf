import type { Clock } from '@tandemmq/remoting'
import type { LogWriter } from '../log-writer.ts'

/** `open`: the store failed while the answer was under way; only the restart can tell. */
export type CancelOutcome = 'cancelled' | 'fired' | 'unknown' | 'open'

export type ChangeOutcome = CancelOutcome | 'rescheduled'

/** @param isNew this very request took it back */
export type CancelDone = (outcome: CancelOutcome, isNew: boolean) => void

/** @param place where the message waits now; only when rescheduled */
export type RescheduleDone = (outcome: ChangeOutcome, place?: TimerPlace) => void

/** Where a rescheduled message waits. */
export interface TimerPlace {
  topic: string
  uniqueKey: string
  /** ms since 1970 */
  deliverAt: number
  physicalOffset: number
  /** In the broker's own topic for waiting messages. */
  queueId: number
  queueOffset: number
  offsetMessageId: string
}

/** What became of all messages that wait under one business key. */
export interface KeyedCancel {
  /** cancelled: at least one waited, and none waits any more; else the fate of the newest one known, or unknown. */
  outcome: CancelOutcome
  /** Taken back by this request. */
  cancelled: number
  /** Known to be delivered, or on their way. */
  fired: number
}

export interface KeyedReschedule {
  /** rescheduled: at least one waited, and all that waited have the new time; else the fate of the newest one known. */
  outcome: ChangeOutcome
  /** Newest first. */
  rescheduled: TimerPlace[]
  fired: number
}

/** When a message is to be delivered instead: one of the two. */
export interface NewTime {
  /** ms since 1970; the past means at once */
  deliverAt?: number | undefined
  /** ms from now */
  delayMs?: number | undefined
}

/** A delayed message that waits. */
export interface PendingTimer {
  topic: string
  queueId: number
  /** UNIQ_KEY */
  messageId: string
  keys: string
  tag: string
  /** ms since 1970 */
  deliverAt: number
  /** When it was parked; of a rescheduled one, when it was moved. */
  storedAt: number
  bodyBytes: number
  physicalOffset: number
  offsetMessageId: string
  /** Its topic was deleted since: it will not be delivered. */
  isOrphan: boolean
}

export interface TimerQuery {
  /** Only of this topic. */
  topic?: string | undefined
  /** Only with this key (a word of KEYS) or this message id; needs `topic`. All of them in one answer. */
  key?: string | undefined
  /** Due in this range, ms since 1970, both included. */
  from?: number | undefined
  to?: number | undefined
  /** Looked at per page, 1..1000. Default 1000. */
  limit?: number | undefined
  /** `next` of the page before. */
  after?: string | undefined
}

export interface TimerPage {
  /** By due time. May be empty although there is a next page: `topic` filters what was looked at. */
  timers: PendingTimer[]
  /** Absent on the last page. */
  next?: string
  /** Waiting in this broker, of all topics. */
  total: number
}

export interface DelayStats {
  pending: number
  fired: number
  cancelled: number
  rescheduled: number
  /** Not delivered because their topic was deleted after they were sent. */
  orphaned: number
  /** How late the latest delivery was, ms. */
  latestLateMs: number
  /** Deliveries the log refused for the moment; each is tried again until it is stored. */
  retried: number
  /** Parked records that were gone from the log when their time came. */
  lost: number
}

export interface DelayServiceOptions {
  clock: Clock
  log: LogWriter
  /** ms of level 1, 2, ... Default: RocketMQ's 18 levels. */
  levels?: readonly number[]
  /** Longest delay other than by level. Default 365 days. */
  horizonMs?: number
  /** Fired and cancelled ones remembered for the answer to a late cancel: so many, for so long. Defaults 100,000 and one hour. */
  settledMax?: number
  settledWindowMs?: number
  /** Log offsets of the records in `topic` that may have `key`, newest first. Default: none. */
  findByKey?: (topic: string, key: string) => Iterable<number>
  /** Log offset before which the messages of `topic` are deleted. Default 0. */
  deletedBefore?: (topic: string) => number
  /** What the log stamps the next record with when that may be earlier than the clock shows. Default Infinity. */
  turnTimestamp?: () => number
  /** The latest stamp in the log. Default Infinity: later than the clock. */
  newestTimestamp?: () => number
  /** A parked record was gone from the log when its time came (only an explicit retention limit can do that). */
  onLost?: (physicalOffset: number) => void
  /** The time of a message has come, and its topic is deleted. */
  onOrphan?: (topic: string, physicalOffset: number) => void
}
