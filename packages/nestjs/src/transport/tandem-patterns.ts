import { EventPattern, MessagePattern } from '@nestjs/microservices'
import { isTopic } from '@tandemmq/client'
import type { AnyTopic, Topic } from '@tandemmq/client'
import { watchMethod } from '../listeners/handler-watch.ts'
import type { ListenerOptions } from '../listeners/listener-options.ts'
import { readingOf } from '../listeners/typed-listener.ts'
import type { TypedMethodDecorator } from '../listeners/typed-listener.ts'
import { tandemTransport } from '../tokens.ts'

/** What a controller's handler wants to hear and how; the fields mean what they mean in {@link ListenerOptions}. */
export interface TandemPatternOptions
  extends Pick<
    ListenerOptions,
    'tags' | 'sql' | 'ordered' | 'mode' | 'concurrencyMax' | 'attemptsMax' | 'startFrom' | 'payload' | 'schema'
  > {
  /**
   * Consumer group. Several handlers of one group may share a topic when each names tags of its own; handlers of different
   * groups each get every message. Default: the group of the server.
   */
  group?: string
  /** Name of the connection whose transport runs it. Default: the unnamed one. */
  connection?: string
}

/** What the server finds beside the pattern. */
export interface PatternExtras extends TandemPatternOptions {
  /** `Class.method`, for logs. */
  handler?: string
}

/**
 * Makes a controller's method the handler of a topic's messages: `@TandemEvent('orders', { group: 'stock', tags: ['created'] })`.
 * Guards, interceptors, pipes, exception filters, `@Payload()` and `@Ctx()` work as with Nest's `@EventPattern`.
 *
 * The message is consumed when the method and the Observable it may return have ended; see the table in the README for the
 * rest. For a name it returns a plain `MethodDecorator`: Nest 12's typed `@EventPattern` refuses a method with a typed `@Ctx()`.
 *
 * With a topic of `defineTopic` the payload is checked before guards and pipes see it, and a method that does not fit it does
 * not compile.
 */
export function TandemEvent<Out>(
  topic: Topic<unknown, Out, void>,
  options?: TandemPatternOptions,
): TypedMethodDecorator<Out, void>
export function TandemEvent(topic: string, options?: TandemPatternOptions): MethodDecorator
export function TandemEvent(topic: string | AnyTopic, options: TandemPatternOptions = {}): MethodDecorator {
  return handlerOf((...given) => EventPattern<string>(...given), topic, options)
}

/** As {@link TandemEvent}, for requests: the values of the method answer `TandemClient.send`, the last one any other asker. */
export function TandemRequest<Out, Reply>(
  topic: Topic<unknown, Out, Reply> & ([Reply] extends [void] ? never : unknown),
  options?: TandemPatternOptions,
): TypedMethodDecorator<Out, Reply>
export function TandemRequest(topic: string, options?: TandemPatternOptions): MethodDecorator
export function TandemRequest(topic: string | AnyTopic, options: TandemPatternOptions = {}): MethodDecorator {
  return handlerOf((...given) => MessagePattern<string>(...given), topic, options)
}

type PatternDecorator = (topic: string, transport: symbol, extras: PatternExtras) => MethodDecorator

function handlerOf(
  pattern: PatternDecorator,
  topic: string | AnyTopic,
  options: TandemPatternOptions,
): MethodDecorator {
  const [name, reading] = isTopic(topic) ? [topic.name, readingOf(topic)] : [topic, {}]
  return (target, key, descriptor) => {
    watchMethod(target, key, descriptor)
    const extras = { ...reading, ...options, handler: `${target.constructor.name}.${String(key)}` }
    pattern(name, tandemTransport(options.connection), extras)(target, key, descriptor)
  }
}
