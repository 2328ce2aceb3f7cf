import type { Clock } from '@tandemmq/remoting'
import type { LogWriter } from '../../log-writer.ts'

/** An ordering group with held messages. Times in ms. */
export interface HeldGroup {
  topic: string
  /** The ordering key. */
  key: string
  /** Messages held, and bytes of their records. */
  held: number
  heldBytes: number
  /** For how long there have been such. */
  heldForMs: number
  /** Log offset of the half message they wait for; undefined while they are being released. */
  waitsFor: number | undefined
}

export interface GroupOrderStats {
  /** Ordering groups with held messages. */
  groups: number
  held: number
  heldBytes: number
  /** For how long the group that has waited longest has had held messages, ms. */
  oldestHeldMs: number
  /** Made visible. */
  released: number
  /** Not delivered because their topic was deleted after they were sent. */
  orphaned: number
  /** Held records that were gone from the log when their turn came. */
  lost: number
}

export interface GroupOrderOptions {
  clock: Clock
  log: LogWriter
  /** False: nothing is held any more, and what is held is released. Default true. */
  enabled?: boolean
  /** Held messages above which further ones are refused. Default 1,000,000. */
  heldMax?: number
  /** Log offset before which the messages of a topic are deleted. Default 0. */
  deletedBefore?: (topic: string) => number
  /** Told what an operator has to know. */
  onNews?: (line: string) => void
}
