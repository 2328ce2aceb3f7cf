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
