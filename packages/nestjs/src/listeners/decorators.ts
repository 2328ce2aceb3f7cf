import 'reflect-metadata'
import { Injectable } from '@nestjs/common'
import { LISTENER_CLASS, LISTENER_METHODS } from '../tokens.ts'
import type { LateListenerOptions, ListenerOptions } from './listener-options.ts'
import { plainOptions } from './typed-listener.ts'
import type {
  AnyListenerOptions,
  BatchClassDecorator,
  BatchMethodDecorator,
  LateTypedListenerOptions,
  TypedBatchOptions,
  TypedClassDecorator,
  TypedListenerOptions,
  TypedMethodDecorator,
} from './typed-listener.ts'

/** One `@OnMessage` of a class. */
export interface MethodListener {
  method: string
  options: ListenerOptions | LateListenerOptions
}

/**
 * Makes a provider a listener: its method `onMessage(payload, context)` gets every message of the subscription.
 * `@Payload()`, `@Ctx()`, pipes, guards and interceptors work as in a controller; without parameter decorators the
 * method is called with the payload and the {@link TandemContext}.
 *
 * Returning consumes the message; throwing has it delivered again later and finally puts it in the dead letter topic.
 * Throw `ReconsumeLater` or `RejectMessage` to decide yourself. A payload a pipe refuses is rejected at once.
 *
 * With a topic of `defineTopic` the payload is checked before, and an `onMessage` that does not fit it does not compile.
 */
export function MessageListener<Out>(options: TypedBatchOptions<Out>): BatchClassDecorator<Out>
export function MessageListener<Out, Reply>(
  options: TypedListenerOptions<Out, Reply> | LateTypedListenerOptions<Out, Reply>,
): TypedClassDecorator<Out, Reply>
export function MessageListener(options: ListenerOptions | LateListenerOptions): ClassDecorator
export function MessageListener(options: AnyListenerOptions): ClassDecorator {
  return (target) => {
    Injectable()(target)
    Reflect.defineMetadata(LISTENER_CLASS, plainOptions(options), target)
  }
}

/** As {@link MessageListener}, for one method of any provider; a class may have several, a method may carry several. */
export function OnMessage<Out>(options: TypedBatchOptions<Out>): BatchMethodDecorator<Out>
export function OnMessage<Out, Reply>(
  options: TypedListenerOptions<Out, Reply> | LateTypedListenerOptions<Out, Reply>,
): TypedMethodDecorator<Out, Reply>
export function OnMessage(options: ListenerOptions | LateListenerOptions): MethodDecorator
export function OnMessage(options: AnyListenerOptions): MethodDecorator {
  return (target, method) => {
    const known: MethodListener[] = Reflect.getOwnMetadata(LISTENER_METHODS, target.constructor) ?? []
    const listener = { method: String(method), options: plainOptions(options) }
    Reflect.defineMetadata(LISTENER_METHODS, [...known, listener], target.constructor)
  }
}
