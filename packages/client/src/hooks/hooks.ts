import type { ConsumedMessage } from '../message/consumed-message.ts'
import type { OutgoingMessage } from '../message/message.ts'
import type { PreparedMessage, TransactionDecision, TransactionOutcome } from '../message/prepared-message.ts'
import type { SendReceipt } from '../message/send-receipt.ts'
import type { CancelOutcome, TimerKey } from '../producer/timer-requests.ts'

/** How a message is sent. Each member of a batch counts as `normal`. */
export type SendKind = 'normal' | 'delayed' | 'ordered' | 'half' | 'oneway' | 'request' | 'reply'

/** One send with all its attempts. `beforeSend` and `afterSend` get the same object: a WeakMap may carry state between them. */
export interface SendEvent {
  readonly group: string
  readonly kind: SendKind
  readonly messageId: string
  /** A copy for the hooks: its body is what travels, before compression, and `properties` may be added to before the send. */
  readonly message: Omit<OutgoingMessage, 'body' | 'properties'> & {
    readonly body: string | Uint8Array
    readonly properties: Record<string, string>
  }
  readonly bodyBytes: number
  /** By the client's clock, ms. */
  readonly startedAt: number
  /** Afterwards: time from the first attempt to the last answer, ms. */
  readonly costMs: number
  /** Afterwards, when it was stored; never of a one-way message. Of a half message: where that was stored. */
  readonly receipt: SendReceipt | undefined
  /** Afterwards, when it failed. */
  readonly error: unknown
}

/** One run of a handler. The same object before and after. */
export interface ConsumeEvent {
  readonly group: string
  readonly message: ConsumedMessage
  /** By the client's clock, ms. */
  readonly startedAt: number
  /** Afterwards: how long the handler took, ms. */
  readonly costMs: number
  /** Afterwards: the handler returned. */
  readonly succeeded: boolean
  /** Afterwards, when it threw: what it threw. */
  readonly error: unknown
}

/** One question of a broker about a half message. The same object before and after. */
export interface CheckEvent {
  readonly group: string
  readonly message: ConsumedMessage
  readonly startedAt: number
  readonly costMs: number
  /** Afterwards: what the broker is told. */
  readonly decision: TransactionDecision
  /** Afterwards, when `check` threw. */
  readonly error: unknown
}

/** The end of a transaction, answered by the broker or told it in reply to its question. */
export interface EndEvent {
  readonly group: string
  /** Of an answer to a check-back only what the broker told is known. */
  readonly prepared: Pick<PreparedMessage, 'messageId' | 'transactionId' | 'topic' | 'brokerName'>
  readonly decision: TransactionDecision
  /** Undefined: told to the broker one-way after a check, or `error`. */
  readonly outcome: TransactionOutcome | undefined
  readonly fromCheck: boolean
  readonly error: unknown
}

/** A cancellation, answered or failed. */
export interface CancelEvent {
  readonly group: string
  readonly target: SendReceipt | TimerKey
  readonly outcome: CancelOutcome | undefined
  readonly error: unknown
}

/**
 * Looks on while messages are sent, handled and checked; for measuring, logging and passing contexts on.
 *
 * - Order: `before…` in the order of the list, `after…` in the opposite one, so that pairs nest.
 * - A hook that throws is logged and passed over: the message goes its way and the other hooks are called.
 * - Hooks are synchronous. The promise of an async one is not waited for; its rejection is logged.
 * - `afterConsume` runs when the handler has ended and before the broker hears of it; neither it nor `beforeConsume` is called for
 *   messages that tags or {@link PushConsumerOptions.filter} kept from the handler.
 *
 * Without hooks nothing is called and nothing allocated.
 */
export interface ClientHook {
  beforeSend?(event: SendEvent): void
  afterSend?(event: SendEvent): void
  beforeConsume?(event: ConsumeEvent): void
  afterConsume?(event: ConsumeEvent): void
  beforeCheck?(event: CheckEvent): void
  afterCheck?(event: CheckEvent): void
  afterEnd?(event: EndEvent): void
  afterCancel?(event: CancelEvent): void
}

/** What is watched of a producer or consumer. */
export interface HookOptions {
  /** Looked at in their order; see {@link ClientHook}. Default: none. */
  hooks?: readonly ClientHook[] | undefined
  /**
   * Writes RocketMQ's message trace: true = to RMQ_SYS_TRACE_TOPIC, a text = to that topic. `mqadmin queryMsgTraceById` and
   * RocketMQ's dashboard read it. Sent in batches beside the messages; when it cannot be sent it is dropped and counted, never
   * waited for. Default false.
   */
  trace?: boolean | string | undefined
}
