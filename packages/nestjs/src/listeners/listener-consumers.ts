import { ForbiddenException, Inject, Injectable, UnauthorizedException } from '@nestjs/common'
import { RejectMessage, systemClock, TandemError } from '@tandemmq/client'
import type { BroadcastOffsetStore, ConsumedMessage, Filter, MessageHandler } from '@tandemmq/client'
import { isObservable, lastValueFrom } from 'rxjs'
import type { TandemConnection } from '../connection/tandem-connection.ts'
import { replyOf, tellingAskers } from '../sending/ask.ts'
import { BatchCollector } from './batch-collector.ts'
import { withBatchSpan } from './batch-span.ts'
import { withDeadline } from './deadline.ts'
import type { MadeConsumer } from './group-consumer.ts'
import { isIdempotent, withInbox } from './idempotent.ts'
import type { FoundListener } from './listener-discovery.ts'
import { hasFilters, withFilters } from './listener-filters.ts'
import { ListenerInvoker } from './listener-invoker.ts'
import type { Invocation } from './listener-invoker.ts'
import type { ConsumerPlan, ConsumerSettings, PlannedListener } from './listener-plan.ts'
import { messageHandlerOf, reasonOf } from './outcome.ts'
import { routedByTag } from './tag-routes.ts'

/** What handles the messages of a listener: a decorated method, or a function that was added at run time. */
export type ListenerTarget = FoundListener | Invocation

/** PushConsumerOptions.concurrencyMax */
const CONCURRENCY_MAX = 16

/** Makes the consumer of a group out of its listeners. */
@Injectable()
export class ListenerConsumers {
  private readonly invoker: ListenerInvoker

  constructor(@Inject(ListenerInvoker) invoker: ListenerInvoker) {
    this.invoker = invoker
  }

  make(
    connection: TandemConnection,
    plan: ConsumerPlan<ListenerTarget>,
    positions: BroadcastOffsetStore,
  ): MadeConsumer {
    const consumer = connection.consumer(plan.group, settingsOf(plan), positions)
    const collectors: BatchCollector[] = []
    const handlerOf = (listener: PlannedListener<ListenerTarget>): MessageHandler => {
      const { name, options } = listener
      const { batch } = options
      let invoke = this.invocationOf(connection, listener)
      if (batch !== undefined) {
        const { concurrencyMax = CONCURRENCY_MAX } = plan.settings
        const inSpan = withBatchSpan(connection.telemetry, plan.group, invoke)
        const collector = new BatchCollector({ ...this.port(connection), batch, concurrencyMax, invoke: inSpan })
        collectors.push(collector)
        invoke = collector.join
      }
      return tellingAskers(connection, messageHandlerOf({ name, options, invoke, ...this.port(connection) }))
    }
    for (const [topic, listeners] of byTopic(plan.listeners)) {
      const routes = listeners.map((listener) => ({ tags: listener.options.tags, handler: handlerOf(listener) }))
      const [only] = routes
      const handler = only !== undefined && routes.length === 1 ? only.handler : routedByTag(routes)
      consumer.subscribe(topic, selectorOf(listeners), handler)
    }
    return { consumer, ending: () => collectors.forEach((collector) => collector.ending()) }
  }

  private port(connection: TandemConnection) {
    return {
      clock: clockOf(connection),
      isPayloadRefusal: this.invoker.isPayloadRefusal.bind(this.invoker),
      reply: async (message: ConsumedMessage, value: unknown): Promise<void> => {
        await (await connection.producer()).reply(message, replyOf(message, value))
      },
    }
  }

  /** The method with what the options put around it, from the inside out. */
  private invocationOf(
    connection: TandemConnection,
    { name, options, handler }: PlannedListener<ListenerTarget>,
  ): Invocation {
    const { inbox, timeoutMs, guardRefusal, group } = options
    if (options.batch !== undefined && typeof handler !== 'function' && isIdempotent(handler)) {
      throw new TandemError('LISTENER_INVALID', `${name} has both batch and @Idempotent(); use one of them`)
    }
    const plain = typeof handler === 'function' ? handler : this.invoker.invocationOf(handler)
    const isFiltered = typeof handler !== 'function' && hasFilters(handler)
    const isWrapped = isFiltered || inbox || guardRefusal === 'reject' || timeoutMs !== undefined || options.batch
    // Most have nothing around them, and then a message costs no promise.
    if (!isWrapped) return plain
    let invoke = awaiting(plain)
    if (inbox !== undefined && inbox !== false) {
      invoke = withInbox(connection, group, inbox === true ? {} : inbox, invoke)
    }
    if (isFiltered) invoke = withFilters(handler, invoke)
    if (guardRefusal === 'reject') invoke = rejecting(invoke)
    if (timeoutMs !== undefined) invoke = withDeadline(timeoutMs, this.port(connection), invoke)
    return invoke
  }
}

/** A group has one subscription per topic; those who share it have tags of their own. */
function byTopic<L extends PlannedListener<unknown>>(listeners: readonly L[]): Map<string, L[]> {
  const topics = new Map<string, L[]>()
  for (const listener of listeners) {
    const { topic } = listener.options
    topics.set(topic, [...(topics.get(topic) ?? []), listener])
  }
  return topics
}

function selectorOf(listeners: readonly PlannedListener<unknown>[]): Filter {
  const [sql] = listeners.flatMap(({ options }) => options.sql ?? [])
  if (sql !== undefined) return { sql }
  const tags = listeners.flatMap(({ options }) => options.tags ?? [])
  return tags.length === 0 ? '*' : { tags }
}

function clockOf({ options }: TandemConnection) {
  return options.client?.clock ?? systemClock
}

/** A consumer counts messages, a listener its calls. */
function settingsOf({ settings, listeners }: ConsumerPlan<unknown>): ConsumerSettings {
  const sizeMax = listeners[0]?.options.batch?.sizeMax
  if (sizeMax === undefined) return settings
  return { ...settings, concurrencyMax: (settings.concurrencyMax ?? CONCURRENCY_MAX) * sizeMax }
}

/** A method may return an Observable, which runs only when somebody waits for it. */
function awaiting(invoke: Invocation): Invocation {
  return async (payload, context) => {
    const result = await invoke(payload, context)
    return isObservable(result) ? lastValueFrom(result, { defaultValue: undefined }) : result
  }
}

function rejecting(invoke: Invocation): Invocation {
  return async (payload, context) => {
    try {
      return await invoke(payload, context)
    } catch (error) {
      if (!(error instanceof ForbiddenException || error instanceof UnauthorizedException)) throw error
      throw new RejectMessage(`refused by a guard: ${reasonOf(error)}`, { cause: error })
    }
  }
}
