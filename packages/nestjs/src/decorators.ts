import 'reflect-metadata'
import { Injectable } from '@nestjs/common'
import type { LateListenerOptions, ListenerOptions } from './listener-options.ts'
import { LISTENER_CLASS, LISTENER_METHODS } from './tokens.ts'

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
 */
export function MessageListener(options: ListenerOptions | LateListenerOptions): ClassDecorator {
  return (target) => {
    Injectable()(target)
    Reflect.defineMetadata(LISTENER_CLASS, options, target)
  }
}

/** As {@link MessageListener}, for one method of any provider; a class may have several, a method may carry several. */
export function OnMessage(options: ListenerOptions | LateListenerOptions): MethodDecorator {
  return (target, method) => {
    const known: MethodListener[] = Reflect.getOwnMetadata(LISTENER_METHODS, target.constructor) ?? []
    Reflect.defineMetadata(LISTENER_METHODS, [...known, { method: String(method), options }], target.constructor)
  }
}
