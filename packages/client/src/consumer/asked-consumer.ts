import type { ClientCore } from '../cluster/client-core.ts'
import type { Consumption } from './consumption.ts'
import type { ConsumerSettings } from './push-consumer-options.ts'
import type { Subscription } from './subscription.ts'

/** What a broker may ask a consumer, often for an operator (remoting.md 2F). */
export interface AskedConsumer {
  readonly group: string
  readonly startedAt: number
  readonly settings: ConsumerSettings
  readonly core: ClientCore
  readonly consumption: Consumption
  readonly subscriptions: ReadonlyMap<string, Subscription>
  refresh(): void
}
