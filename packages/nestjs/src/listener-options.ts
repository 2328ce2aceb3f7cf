import type { InjectionToken } from '@nestjs/common'
import type { ConsumedMessage, PushConsumerOptions, StandardSchema } from '@tandemmq/client'

/** What a listener wants to hear and how. Options left out come from `TandemModule.forRoot({ listeners })`. */
export interface ListenerOptions {
  topic: string
  /** Name of the `TandemModule.forRoot({ name, … })` it listens to. Default: the one without a name. */
  connection?: string
  /**
   * Consumer group: every group gets each message once. One group has one subscription per topic, in all processes;
   * two listeners of one group on the same topic fail the boot.
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
   * Default false.
   */
  inbox?: boolean
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
