import type { InjectionToken } from '@nestjs/common'
import type { ConsumedMessage, PushConsumerOptions, StandardSchema } from '@tandemmq/client'
import type { Database, InboxOptions } from '@tandemmq/outbox'

/** How an inbox remembers; see `InboxOptions`. */
export type InboxSettings = Partial<
  Pick<InboxOptions<Database>, 'fence' | 'acceptReplays' | 'retentionMs' | 'lockTimeoutMs'>
>

/** What a listener wants to hear and how. Options left out come from `TandemModule.forRoot({ listeners })`. */
export interface ListenerOptions {
  topic: string
  /** Name of the `TandemModule.forRoot({ name, … })` it listens to. Default: the one without a name. */
  connection?: string
  /**
   * Consumer group: every group gets each message once. One group has one subscription per topic, in all processes; several
   * listeners of one group may share a topic when each names tags of its own, else they fail the boot.
   */
  group: string
  /** Only messages with one of these tags; left out: all. Not together with `sql`. */
  tags?: readonly string[]
  /** SQL92 filter over user properties, e.g. `region = 'eu'`. */
  sql?: string
  /** Messages of one queue one after the other. Default false. */
  ordered?: boolean
  /** `clustering` (default): one process of the group gets it; `broadcasting`: every process does. */
  mode?: 'clustering' | 'broadcasting' | 'lease'
  /** Handlers of this group running at once in this process. Default 16. */
  concurrencyMax?: number
  /** Deliveries of one message before it goes to the dead letter topic. Default 16. */
  attemptsMax?: number
  /** Where a group the broker does not know begins. Default `last`. */
  startFrom?: 'last' | 'first' | Date
  /**
   * True: the listener runs in a database transaction that also remembers the message, so a repeat is skipped and a
   * failure takes the effect back. Work through `TandemTemplate.currentTransaction()`; needs `outbox` in the module.
   * What is enqueued belongs to the same transaction. An object says how the inbox remembers. Default false.
   */
  inbox?: boolean | InboxSettings
  /**
   * How a body becomes the payload. Default: a body that begins with `{`, `[` or `"` must be JSON (what is not is
   * rejected), any other is JSON if it reads as JSON, else text. A function that throws rejects the message.
   */
  payload?: 'json' | 'text' | 'bytes' | ((message: ConsumedMessage) => unknown)
  /**
   * Any Standard Schema v1 (zod, valibot, arktype …): what it makes of the payload is what pipes and the listener get; what
   * it refuses is a dead letter at once, with its issues as the reason. A topic of `defineTopic` brings its own.
   */
  schema?: StandardSchema
  /**
   * Calls the method with arrays: of payloads, and a {@link TandemBatchContext} of their contexts. `concurrencyMax` counts its
   * calls. What it throws is the outcome of all of them, a {@link PartialFailure} of those it names. Not with `ordered` or
   * `inbox`; all listeners of the group have the same.
   */
  batch?: BatchOptions
  /**
   * Longest run of the method, ms: then `context.signal` is aborted and the message comes again, even if the method has not
   * ended (a repeat may overlap with it). Default: no limit here; `handlerTimeoutMs` of the consumer aborts the signal only.
   */
  timeoutMs?: number
  /**
   * What becomes of a message when a guard, or the method, throws Nest's ForbiddenException or UnauthorizedException, as a guard
   * that returns false does. `retry` (default): as any other error. `reject`: dead letter at once.
   */
  guardRefusal?: 'retry' | 'reject'
}

/** How messages are gathered for one call. */
export interface BatchOptions {
  /** Payloads in one call at most. */
  sizeMax: number
  /** How long the first message of a call waits for others, ms. Default 100. */
  waitMs?: number
}

/** Options known only once the container is built: `get` is `ModuleRef.get` over the whole application. */
export type LateListenerOptions = (get: <T>(token: InjectionToken<T>) => T) => ListenerOptions

/** Defaults for every listener of the application. */
export interface ListenerDefaults {
  concurrencyMax?: number
  attemptsMax?: number
  startFrom?: 'last' | 'first' | Date
  /** Longest wait for running handlers when the application ends. Default 25,000. */
  drainTimeoutMs?: number
  /** False: nothing is consumed until `TandemListeners.start()`. Default true. */
  autoStart?: boolean
  /** Any other option of the consumers, e.g. `commitIntervalMs`. */
  consumer?: Partial<Omit<PushConsumerOptions, 'nameServers' | 'group'>>
}
