import type { OutgoingMessage } from '../foundation.ts'

/** RocketMQ property that groups the halves of one transaction at our broker; an Apache broker writes the unique key over it. */
export const TRANSACTION_ID = '__transactionId__'
/** `<marker's key>:<n>`: the broker's dedup key of a half, and where a check-back finds the marker. */
export const DEDUP_KEY = 'DEDUP_KEY'
/** Which database decides: a producer of the same group may belong to another one. */
export const DOMAIN = 'TANDEM_DOMAIN'

export type Decision = 'commit' | 'rollback'
/** What the broker holds after an END: `unknown` = it has no such half. */
export type EndOutcome = 'committed' | 'rolledBack' | 'pending' | 'unknown'
export type CheckAnswer = 'commit' | 'rollback' | 'unknown'
/** `notMine`: another database; nobody needs to ask here again. */
export type DomainAnswer = CheckAnswer | 'notMine'

/** A half message of the outbox: an ordinary message, the body already bytes. */
export interface HalfMessage extends OutgoingMessage {
  /** The marker's key; travels as property {@link TRANSACTION_ID}. */
  transactionId: string
  body: Uint8Array
  /** The user's, and {@link DOMAIN}. */
  properties: Readonly<Record<string, string>>
  dedupKey: string
}

/** What a check-back carries. */
export interface CheckedMessage {
  readonly properties: Readonly<Record<string, string>>
}

/** A database, as a broker asks about its transactions. */
export interface CheckedDomain {
  /** As in property {@link DOMAIN}. */
  readonly id: string
  /** One answer per id, in their order. */
  check(transactionIds: readonly string[]): Promise<readonly DomainAnswer[]>
}

/** A half the broker holds durably; only the sender looks inside. */
export interface Half {
  readonly opaque: unknown
}

/** What has been decided about a half. */
export interface HalfEnd {
  readonly half: Half
  readonly decision: Decision
}

/** The broker as the outbox sees it; all there is to replace in a test. */
export interface HalfSender {
  /**
   * Connects; from now on the broker may ask `check`, as often as it likes. One that knows domains asks `domain` instead, many
   * transactions at once, and also about those of producers of other groups.
   */
  start(check: (message: CheckedMessage) => Promise<CheckAnswer>, domain?: CheckedDomain): Promise<void>
  close(): Promise<void>
  /**
   * One attempt, never a second one under the same key. Resolves when the broker has the half durably; after a rejection
   * whose `retryable` is false the broker certainly has not, after any other one it may.
   */
  prepare(message: HalfMessage, options: { timeoutMs: number }): Promise<Half>
  /** One request per broker and call; the outcomes in the order of `ends`. Rejects when no broker answered. */
  endMany(ends: readonly HalfEnd[]): Promise<EndOutcome[]>
  /** Those of `transactionIds` any broker still holds a pending half of; rejects unless every broker answered. */
  pendingOf(transactionIds: readonly string[]): Promise<readonly string[]>
  /**
   * Of a broker that rejects `pendingOf` with REQUEST_NOT_SUPPORTED (a stock one): those of `transactionIds` some half of which
   * it has given up after too many checks. It commits such a half only if an END still comes.
   */
  givenUpOf?(transactionIds: readonly string[], domainId: string): Promise<readonly string[]>
  /** Names of the brokers that messages of this topic may go to now; empty when nobody knows yet. */
  brokersOf?(topic: string): readonly string[]
  /** An ordinary message, for the relay; the dedup key makes repeats harmless. */
  send(message: OutgoingMessage): Promise<unknown>
}
