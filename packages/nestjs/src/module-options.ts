import type { ConnectionOptions, ProducerOptions } from '@tandemmq/client'
import type { Database, OutboxOptions } from '@tandemmq/outbox'
import type { ListenerDefaults } from './listener-options.ts'

/** What `TandemModule.forRoot` takes. */
export interface TandemModuleOptions {
  /** `'a:9876;b:9876'` or an array; a TandemMQ broker is its own name server. */
  nameServers: string | readonly string[]
  /** Group of this application's producer and of its outbox; the same in all its processes. */
  group: string
  /** Binds messages to Postgres transactions: `TandemTemplate.transaction` and `enqueue` need it. Tables: `tandem outbox migrate`. */
  outbox?: Omit<OutboxOptions<Database>, 'nameServers' | 'group'> & { group?: string }
  listeners?: ListenerDefaults
  /** Its group is `group`, with an outbox `<group>-send`: only those who know the outcome may be asked for it. */
  producer?: Partial<Omit<ProducerOptions, 'nameServers'>>
  /** For producer and listeners alike: timeouts, clock, network. */
  client?: Partial<Omit<ConnectionOptions, 'nameServers'>>
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
  /** Called when everything of the connection is closed. */
  closed?: () => Promise<void>
}

export function overridden(options: TandemModuleOptions, over: Partial<TandemModuleOptions> = {}): TandemModuleOptions {
  const listeners = { ...options?.listeners, ...over.listeners }
  const consumer = { ...options?.listeners?.consumer, ...over.listeners?.consumer }
  return { ...options, ...over, client: { ...options?.client, ...over.client }, listeners: { ...listeners, consumer } }
}
