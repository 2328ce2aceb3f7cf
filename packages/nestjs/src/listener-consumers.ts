import { Inject, Injectable } from '@nestjs/common'
import type { BroadcastOffsetStore, ConsumedMessage } from '@tandemmq/client'
import type { MadeConsumer } from './group-consumer.ts'
import type { FoundListener } from './listener-discovery.ts'
import { ListenerInvoker } from './listener-invoker.ts'
import type { Invocation } from './listener-invoker.ts'
import type { ConsumerPlan, PlannedListener } from './listener-plan.ts'
import { messageHandlerOf } from './outcome.ts'
import type { TandemConnection } from './tandem-connection.ts'

/** What handles the messages of a listener: a decorated method, or a function that was added at run time. */
export type ListenerTarget = FoundListener | Invocation

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
    const consumer = connection.consumer(plan.group, plan.settings, positions)
    for (const listener of plan.listeners) {
      const { tags, sql, topic } = listener.options
      const selector = sql === undefined ? (tags === undefined ? '*' : { tags: [...tags] }) : { sql }
      consumer.subscribe(topic, selector, messageHandlerOf(this.runOf(connection, listener)))
    }
    return { consumer, ending: () => {} }
  }

  private runOf(connection: TandemConnection, { name, options, handler }: PlannedListener<ListenerTarget>) {
    const invoke = typeof handler === 'function' ? handler : this.invoker.invocationOf(handler)
    return {
      name,
      options,
      invoke: options.inbox ? withInbox(connection, options.group, invoke) : invoke,
      isPayloadRefusal: this.invoker.isPayloadRefusal.bind(this.invoker),
      reply: async (message: ConsumedMessage, value: unknown): Promise<void> => {
        await (await connection.producer()).reply(message, value)
      },
    }
  }
}

/** Effect, memory of the message and what is enqueued are one transaction; a repeat has no effect and no value. */
export function withInbox(connection: TandemConnection, group: string, invoke: Invocation): Invocation {
  return async (payload, context) => {
    const inbox = await connection.inbox(group)
    let value: unknown
    const once = inbox.handler(async (_: ConsumedMessage, trx, messages) => {
      value = await connection.scopes.run({ trx, messages }, () => invoke(payload, context))
    })
    await once(context.getMessage())
    return value
  }
}
