import { EventPattern, MessagePattern } from '@nestjs/microservices'
import { watchMethod } from './handler-watch.ts'
import type { ListenerOptions } from './listener-options.ts'
import { tandemTransport } from './tokens.ts'

/** What a controller's handler wants to hear and how; the fields mean what they mean in {@link ListenerOptions}. */
export interface TandemPatternOptions
  extends Pick<
    ListenerOptions,
    'tags' | 'sql' | 'ordered' | 'mode' | 'concurrencyMax' | 'attemptsMax' | 'startFrom' | 'payload'
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
 * rest. It returns a plain `MethodDecorator`: Nest 12's typed `@EventPattern` refuses a method with a typed `@Ctx()`.
 */
export function TandemEvent(topic: string, options: TandemPatternOptions = {}): MethodDecorator {
  return handlerOf((...given) => EventPattern<string>(...given), topic, options)
}

/** As {@link TandemEvent}, for requests: the values of the method answer `TandemClient.send`, the last one any other asker. */
export function TandemRequest(topic: string, options: TandemPatternOptions = {}): MethodDecorator {
  return handlerOf((...given) => MessagePattern<string>(...given), topic, options)
}

type PatternDecorator = (topic: string, transport: symbol, extras: PatternExtras) => MethodDecorator

function handlerOf(pattern: PatternDecorator, topic: string, options: TandemPatternOptions): MethodDecorator {
  return (target, key, descriptor) => {
    watchMethod(target, key, descriptor)
    const extras = { ...options, handler: `${target.constructor.name}.${String(key)}` }
    pattern(topic, tandemTransport(options.connection), extras)(target, key, descriptor)
  }
}
