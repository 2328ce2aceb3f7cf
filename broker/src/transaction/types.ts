import type { PropertyScan } from '@tandemmq/protocol'
import type { Clock } from '@tandemmq/remoting'
import type { LogWriter } from '../log-writer.ts'
import type { CheckPeer } from './check-lanes.ts'
import type { GroupOrder } from './group-order/index.ts'
import type { HalfMessage } from './half-message.ts'
import type { Decision } from './half-rules.ts'

export interface EndRequest {
  group: string
  queueOffset: number
  physicalOffset: number
  decision: Decision
  /** The answer to a check-back, not the producer's own END. */
  fromCheck: boolean
}

/** An unsettled half message as operators see it. Times in ms, offsets of the half record. */
export interface PendingTransaction {
  physicalOffset: number
  queueOffset: number
  group: string
  topic: string
  queueId: number
  /** Property `__transactionId__`, else UNIQ_KEY. */
  transactionId: string
  messageId: string
  keys: string
  storedAt: number
  ageMs: number
  /** Property TANDEM_DOMAIN: who may be asked. */
  domain?: string
  /** Check-backs that a live producer received. */
  asked: number
  /** Check-backs that were answered; only these count. */
  attempts: number
  /** Undefined while a decision is on its way to the disk. */
  nextCheckInMs: number | undefined
  state: HalfMessage['state']
  /** Messages of its ordering key that wait for it; 0 while it waits for an earlier one itself. */
  holdsBack: number
}

export interface TransactionStats {
  pending: number
  committed: number
  rolledBack: number
  /** Opposite decisions refused. */
  conflicts: number
  /** Of those: a commit after a rollback. With the Postgres outbox this must stay 0. */
  commitsAfterRollback: number
  /** END for an offset that holds no half message, or one settled too long ago. */
  unknownEnds: number
  /** END by another group or with offsets that do not belong together. */
  foreignEnds: number
  /** END repeated after the outcome was recorded, or while it was. */
  repeatedEnds: number
  checksSent: number
  /** Answers to them, also those that only say "not known". */
  checksAnswered: number
  /** Requests that carried many of them. */
  checkRequests: number
  /** Answers of a producer whose database it is not. */
  checksNotMine: number
  /** Half messages of batched requests that were not answered in time, or whose connection broke. */
  checksUnanswered: number
  /** Checks that found no live producer; they do not count as attempts. */
  checksUnanswerable: number
  oldestPendingMs: number
}

export interface TransactionServiceOptions {
  clock: Clock
  log: LogWriter
  /** Age at the first check-back; property CHECK_IMMUNITY_TIME_IN_SECONDS overrides it. Default 6,000. */
  timeoutMs?: number
  /** Upper bound of each pause between two check-backs. Default 30,000. */
  checkIntervalMs?: number
  /** Hands a check-back to a live producer of `half.group`; false when there is none. `record` is the stored half. */
  ask(half: HalfMessage, record: Buffer): boolean
  /** Whoever is to be asked about `half` next, if it takes many in one request. Default: nobody does. */
  peerOf?(half: HalfMessage): CheckPeer | undefined
  /** Refuses (by throwing) a half message whose commit would be refused later: a delay that is no number, or too long. */
  verify?(scan: PropertyScan, properties: Buffer): void
  /** Places of half messages among others of their ordering key. Default: none are kept. */
  order?: GroupOrder
  /** Outcomes kept for repeated ENDs: so many, for so long. Defaults 1,000,000 and one hour. */
  outcomesMax?: number
  outcomesWindowMs?: number
}
