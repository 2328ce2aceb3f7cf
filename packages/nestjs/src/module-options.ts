import type { InjectionToken } from '@nestjs/common'
import type { ConnectionOptions, ProducerOptions } from '@tandemmq/client'
import type { Database, OutboxOptions } from '@tandemmq/outbox'
import type { ListenerDefaults } from './listeners/listener-options.ts'
import type { TelemetryOptions } from './observability/telemetry.ts'
import type { TandemEvents } from './tandem-events.ts'

/** `ModuleRef.get` over the whole application. */
export type LookUp = <T>(token: InjectionToken<T>) => T

/** The database of an outbox: itself, or the token of the provider that holds it. */
export type OutboxDatabase =
  | { database: Database; knex?: never; pg?: never }
  | { knex: InjectionToken; database?: never; pg?: never }
  | { pg: InjectionToken; database?: never; knex?: never }

/** `outbox` of {@link TandemModuleOptions}: a database, and any option of an `Outbox`. */
export type TandemOutboxOptions = Omit<OutboxOptions<Database>, 'nameServers' | 'group' | 'database'> &
  OutboxDatabase & {
    /** Default: the module's. */
    group?: string
    /**
     * The transaction of the application around a call, for `enqueue`, `transaction` and `currentTransaction` to join; asked
     * where {@link TandemTemplate.transaction} is not around. Undefined, the database itself or a transaction that has ended:
     * there is none. For nestjs-cls: `(get) => get(TransactionHost).tx`.
     */
    currentTransaction?: (get: LookUp) => unknown
  }

/** What `TandemModule.forRoot` takes. */
export interface TandemModuleOptions {
  /** `'a:9876;b:9876'` or an array; a TandemMQ broker is its own name server. */
  nameServers: string | readonly string[]
  /** Group of this application's producer and of its outbox; the same in all its processes. */
  group: string
  /** Binds messages to Postgres transactions: `TandemTemplate.transaction` and `enqueue` need it. Tables: `tandem outbox migrate`. */
  outbox?: TandemOutboxOptions
  listeners?: ListenerDefaults
  /** Its group is `group`, with an outbox `<group>-send`: only those who know the outcome may be asked for it. */
  producer?: Partial<Omit<ProducerOptions, 'nameServers'>>
  /** For producer and listeners alike: timeouts, clock, network. */
  client?: Partial<Omit<ConnectionOptions, 'nameServers'>>
  telemetry?: TelemetryOptions
  /** False: no connection is made, no listener starts, and sending rejects with NOT_STARTED. Default true. */
  enabled?: boolean
}

/**
 * Value of `TANDEM_OVERRIDES`. A provider of its own, because overriding the options themselves would lose what only the
 * application's factory knows, such as the database.
 */
export interface TandemOverrides {
  /** Merged over the application's options; `client`, `listeners` and `listeners.consumer` one level deeper. */
  options?: Partial<TandemModuleOptions>
  /** The same for single connections, by name, over `options`. */
  connections?: Readonly<Record<string, Partial<TandemModuleOptions>>>
  /** Called when everything of every connection is closed. */
  closed?: () => Promise<void>
}

/** What a connection has of the application around it. */
export interface ConnectionHost {
  readonly overrides: TandemOverrides
  readonly events: TandemEvents
  lookUp: LookUp
  /** @throws {TandemError} OPTION_INVALID when `name` is taken */
  opened(part: object, name?: string): void
  /** Resolves when the test kit's broker is closed too, if this was the last part. */
  closed(part: object): Promise<void>
}

export function overridden(options: TandemModuleOptions, over: Partial<TandemModuleOptions> = {}): TandemModuleOptions {
  const listeners = { ...options?.listeners, ...over.listeners }
  const consumer = { ...options?.listeners?.consumer, ...over.listeners?.consumer }
  return { ...options, ...over, client: { ...options?.client, ...over.client }, listeners: { ...listeners, consumer } }
}
