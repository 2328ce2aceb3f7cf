import { ClientError, messageOf } from '../client-error.ts'
import type { Logger } from '../logger.ts'
import type { ConsumedMessage } from '../message/consumed-message.ts'
import type { OutgoingMessage } from '../message/message.ts'
import { isDelayed, wireBody } from '../message/message.ts'
import type { TransactionDecision } from '../message/prepared-message.ts'
import type { SendAnswer, SendReceipt } from '../message/send-receipt.ts'
import { receiptOf } from '../message/send-receipt.ts'
import type { CancelEvent, CheckEvent, ClientHook, ConsumeEvent, EndEvent, SendEvent, SendKind } from './hooks.ts'
import { ReportingSet } from './reporting-set.ts'

interface HookClock {
  now(): number
  monotonic(): number
}

/** What hooks see of one send, and the answer's wish about traces. */
export class Sending implements SendEvent {
  readonly group: string
  readonly kind: SendKind
  readonly messageId: string
  readonly message: SendEvent['message']
  readonly bodyBytes: number
  readonly startedAt: number
  readonly startedMonotonic: number
  costMs = 0
  receipt: SendReceipt | undefined
  error: unknown
  /** MSG_REGION of the answer; undefined when the broker wants no trace of the message. */
  region: string | undefined = 'DefaultRegion'

  constructor(group: string, kind: SendKind, messageId: string, message: OutgoingMessage, clock: HookClock) {
    const body = wireBody(message.body)
    this.group = group
    this.kind = kind === 'normal' ? kindOf(message) : kind
    this.messageId = messageId
    this.message = { ...message, messageId, body, properties: { ...message.properties } }
    this.bodyBytes = typeof body === 'string' ? Buffer.byteLength(body) : body.length
    this.startedAt = Math.floor(clock.now())
    this.startedMonotonic = clock.monotonic()
  }

  stored(answer: SendAnswer, brokerName: string): void {
    this.region = answer.region
    this.receipt = receiptOf(answer, brokerName, this.message.topic, this.messageId)
  }
}

/** What hooks see of one run of a handler or of a check. */
export class Handling implements ConsumeEvent, CheckEvent {
  readonly group: string
  readonly message: ConsumedMessage
  readonly startedAt: number
  readonly startedMonotonic: number
  costMs = 0
  succeeded = false
  decision: TransactionDecision = 'unknown'
  error: unknown

  constructor(group: string, message: ConsumedMessage, clock: HookClock) {
    this.group = group
    this.message = message
    this.startedAt = Math.floor(clock.now())
    this.startedMonotonic = clock.monotonic()
  }
}

type Moment = keyof ClientHook

/** Calls the hooks of one client. Exists only when there are some. */
export class HookList {
  readonly #hooks: readonly ClientHook[]
  readonly #clock: HookClock
  readonly #logger: Logger
  readonly #watched = new ReportingSet<Sending>(() => queueMicrotask(() => this.#whenIdle?.()))
  #whenIdle: (() => void) | undefined

  constructor(hooks: readonly ClientHook[], clock: HookClock, logger: Logger) {
    this.#hooks = hooks
    this.#clock = clock
    this.#logger = logger
  }

  /** @throws {ClientError} MESSAGE_ILLEGAL when the body has no JSON form */
  beforeSend(group: string, kind: SendKind, messageId: string, message: OutgoingMessage): Sending {
    const sending = new Sending(group, kind, messageId, message, this.#clock)
    for (const hook of this.#hooks) this.#call('beforeSend', hook, sending)
    return sending
  }

  afterSend(sending: Sending, error?: unknown): void {
    sending.costMs = this.#clock.monotonic() - sending.startedMonotonic
    sending.error = error
    this.#after('afterSend', sending)
  }

  /** A member of a batch was stored. */
  batched(sending: Sending, receipt: SendReceipt | undefined, region: string | undefined): void {
    sending.region = region
    sending.receipt = receipt
    this.afterSend(sending)
  }

  /** Runs `send` and then the after hooks, whatever came out. */
  async watch<T>(sending: Sending, send: () => Promise<T>): Promise<T> {
    this.#watched.add(sending)
    let value: T
    try {
      value = await send()
    } catch (error) {
      this.#watched.delete(sending)
      this.afterSend(sending, error)
      throw error
    }
    this.#watched.delete(sending)
    this.afterSend(sending)
    return value
  }

  /** Resolves when the hooks of every send under way were called. */
  idle(): Promise<void> {
    return this.#watched.size === 0 ? Promise.resolve() : new Promise((resolve) => (this.#whenIdle = resolve))
  }

  /** As watch, for what nobody answers. */
  watchNow(sending: Sending, send: () => void): void {
    try {
      send()
    } catch (error) {
      this.afterSend(sending, error)
      throw error
    }
    this.afterSend(sending)
  }

  beforeConsume(group: string, message: ConsumedMessage): Handling {
    return this.#begin('beforeConsume', group, message)
  }

  afterConsume(handling: Handling, succeeded: boolean, error?: unknown): void {
    handling.succeeded = succeeded
    this.#end('afterConsume', handling, error)
  }

  beforeCheck(group: string, message: ConsumedMessage): Handling {
    return this.#begin('beforeCheck', group, message)
  }

  afterCheck(handling: Handling, decision: TransactionDecision, error?: unknown): void {
    handling.decision = decision
    this.#end('afterCheck', handling, error)
  }

  afterEnd(event: EndEvent): void {
    this.#after('afterEnd', event)
  }

  afterCancel(event: CancelEvent): void {
    this.#after('afterCancel', event)
  }

  #begin(moment: 'beforeConsume' | 'beforeCheck', group: string, message: ConsumedMessage): Handling {
    const handling = new Handling(group, message, this.#clock)
    for (const hook of this.#hooks) this.#call(moment, hook, handling)
    return handling
  }

  #end(moment: 'afterConsume' | 'afterCheck', handling: Handling, error: unknown): void {
    handling.costMs = this.#clock.monotonic() - handling.startedMonotonic
    handling.error = error
    this.#after(moment, handling)
  }

  #after<M extends Moment>(moment: M, event: EventOf<M>): void {
    for (let at = this.#hooks.length - 1; at >= 0; at--) {
      const hook = this.#hooks[at]
      if (hook !== undefined) this.#call(moment, hook, event)
    }
  }

  #call<M extends Moment>(moment: M, hook: ClientHook, event: EventOf<M>): void {
    const method = hook[moment] as ((event: EventOf<M>) => unknown) | undefined
    if (method === undefined) return
    try {
      const result = method.call(hook, event)
      if (result instanceof Promise) result.catch((error: unknown) => this.#passOver(moment, error))
    } catch (error) {
      this.#passOver(moment, error)
    }
  }

  #passOver(moment: Moment, error: unknown): void {
    this.#logger.warn(`hook ${moment} failed and is passed over: ${messageOf(error)}`, error)
  }
}

type EventOf<M extends Moment> = Parameters<NonNullable<ClientHook[M]>>[0]

/** @throws {ClientError} OPTION_INVALID */
export function checkedHooks(hooks: readonly ClientHook[] | undefined): readonly ClientHook[] {
  if (hooks === undefined) return []
  if (!Array.isArray(hooks) || hooks.some((hook) => typeof hook !== 'object' || hook === null)) {
    throw new ClientError('OPTION_INVALID', 'hooks must be an array of objects')
  }
  return [...hooks]
}

function kindOf(message: OutgoingMessage): SendKind {
  if (isDelayed(message)) return 'delayed'
  return message.orderBy === undefined ? 'normal' : 'ordered'
}
