import type { ClientCore } from '../cluster/client-core.ts'
import type { MessageQueue } from '../cluster/route.ts'
import type { HookList } from '../hooks/hook-list.ts'
import type { ConsumedMessage } from '../message/consumed-message.ts'
import type { CacheBudget } from './cache-budget.ts'
import type { GroupAttempts } from './group-attempts.ts'
import type { Handlers } from './handler-runner.ts'
import type { ConsumerSettings } from './push-consumer-options.ts'
import type { QueueConsumer } from './queue/queue-consumer.ts'
import type { Subscription } from './subscription.ts'

/** What the ways to consume share. */
export interface ConsumptionPort {
  readonly core: ClientCore
  readonly group: string
  readonly settings: ConsumerSettings
  readonly budget: CacheBudget
  readonly attempts: GroupAttempts
  topics(): readonly string[]
  /** What the broker at `address` said: topics of which members want different messages; undefined = they agree. */
  conflict(topics: string | undefined, address: string): void
  subscriptionOf(topic: string): Subscription | undefined
  readonly hooks: HookList | undefined
  /** The application's own filter; false = count it as consumed without a handler. Undefined = there is none. */
  readonly accepts: ((message: ConsumedMessage) => boolean) | undefined
}

/** Where messages wait or are asked for, as an operator sees it. */
export interface PopSource {
  /** Queue -1: any queue of the broker. */
  readonly queue: MessageQueue
  readonly lastPopAt: number
  /** Messages that are neither acknowledged nor given back. */
  readonly waitingForAck: number
  readonly isStopped: boolean
}

/** How a push consumer gets its messages: from queues it was assigned, or as leases on single messages. */
export interface Consumption {
  readonly handlers: Handlers
  /** Handles one message of a queue at a time. */
  readonly isOrdered: boolean
  readonly sources: number
  /** Of any source; 0 = none was answered. */
  readonly lastAnswerAt: number
  start(): Promise<void>
  /** Members, routes or subscriptions changed. Resolves when the picture is as new as this call. */
  refresh(): Promise<void>
  /** Asks for no more messages. */
  stopFetching(): void
  /** Tells the brokers what is done and returns the rest. Call when no handler runs any more, or nobody waits for it. */
  giveBack(): Promise<void>
  /** Another program lives under our client id: queues are left as they are, they are its own. Call after {@link stopFetching}. */
  abandon(): void
  /** Assigned queues; none when messages are leased. */
  queues(): readonly QueueConsumer[]
  popSources(): readonly PopSource[]
  /** An operator moved the group. Ignored for what is not ours. */
  reset(queue: MessageQueue, offset: number): void
}
