import type { Clock } from '@tandemmq/remoting'
import type { LogWriter } from '../log-writer.ts'

export type CancelOutcome = 'cancelled' | 'fired' | 'unknown'

export interface DelayStats {
  pending: number
  fired: number
  cancelled: number
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
  /** A parked record was gone from the log when its time came (only an explicit retention limit can do that). */
  onLost?: (physicalOffset: number) => void
}
