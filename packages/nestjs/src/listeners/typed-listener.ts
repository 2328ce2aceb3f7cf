import type { InjectionToken } from '@nestjs/common'
import { isTopic } from '@tandemmq/client'
import type { AnyTopic, Topic } from '@tandemmq/client'
import type { Observable } from 'rxjs'
import type { BatchOptions, LateListenerOptions, ListenerOptions } from './listener-options.ts'
import type { TandemBatchContext } from './tandem-batch-context.ts'
import type { TandemContext } from './tandem-context.ts'

/**
 * Options of a listener whose topic says what its handler gets: the payload is checked with the topic's schema before
 * any pipe sees it, and the handler must fit, or the decorator does not compile.
 */
export type TypedListenerOptions<Out, Reply> = Omit<ListenerOptions, 'topic'> & {
  topic: Topic<unknown, Out, Reply>
}

export type LateTypedListenerOptions<Out, Reply> = (
  get: <T>(token: InjectionToken<T>) => T,
) => TypedListenerOptions<Out, Reply>

/** As {@link TypedListenerOptions}, for a method that is called with arrays. */
export type TypedBatchOptions<Out> = TypedListenerOptions<Out, unknown> & { batch: BatchOptions }

/**
 * What a listener of events may return: nothing. A value would be thrown away, and an outcome that is returned instead of
 * thrown would consume the message. A listener of requests returns the reply.
 */
export type ListenerResult<Reply> = Reply | Promise<Reply> | Observable<[Reply] extends [void] ? unknown : Reply>

/**
 * Parameters in either order. `@Payload('field')`, and pipes that make something else of the payload, are beyond what a
 * method decorator can see: say `topic: orders as Topic<never>` there.
 */
export type TypedHandler<Out, Reply, Context = TandemContext> =
  | ((payload: Out, context: Context) => ListenerResult<Reply>)
  | ((context: Context, payload: Out) => ListenerResult<Reply>)

/** What `TandemListeners.add` takes for a typed topic. */
export type AddedHandler<Out, Reply, Context = TandemContext> = (
  payload: Out,
  context: Context,
) => ListenerResult<Reply>

/** Decorates a method that takes `Out` and the context, and returns `Reply`. */
export type TypedMethodDecorator<Out, Reply, Context = TandemContext> = <
  Handler extends TypedHandler<Out, Reply, Context>,
>(
  target: object,
  method: string | symbol,
  descriptor: TypedPropertyDescriptor<Handler>,
) => void

/** Decorates a class whose `onMessage` takes `Out` and the context, and returns `Reply`. */
export type TypedClassDecorator<Out, Reply, Context = TandemContext> = <
  Listener extends { onMessage: TypedHandler<Out, Reply, Context> },
>(
  target: new (...args: never[]) => Listener,
) => void

export type AnyListenerOptions =
  | ListenerOptions
  | LateListenerOptions
  | TypedListenerOptions<unknown, unknown>
  | LateTypedListenerOptions<unknown, unknown>

/** Any options as the rest of the package knows them: the topic by its name, its schema beside it. */
export function plainOptions(options: AnyListenerOptions): ListenerOptions | LateListenerOptions {
  return typeof options === 'function' ? (get) => namedOptions(options(get)) : namedOptions(options)
}

/** The same for options that are known. */
export function namedOptions(options: ListenerOptions | TypedListenerOptions<unknown, unknown>): ListenerOptions {
  const { topic, ...others } = options
  return isTopic(topic) ? { ...readingOf(topic), ...others, topic: topic.name } : (options as ListenerOptions)
}

/** How a body of the topic becomes what the handler gets. */
export function readingOf({ schema }: AnyTopic): Pick<ListenerOptions, 'schema' | 'payload'> {
  return { ...(schema !== undefined && { schema }), payload: 'json' }
}

export type BatchMethodDecorator<Out> = TypedMethodDecorator<Out[], void, TandemBatchContext>
export type BatchClassDecorator<Out> = TypedClassDecorator<Out[], void, TandemBatchContext>
