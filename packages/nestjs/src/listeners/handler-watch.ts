import { AsyncLocalStorage } from 'node:async_hooks'
import 'reflect-metadata'
import type { CallHandler, ExecutionContext, NestInterceptor } from '@nestjs/common'
import { UseInterceptors } from '@nestjs/common'
import { Observable, catchError, throwError } from 'rxjs'
import { TandemContext } from './tandem-context.ts'

/** How a call of a controller's handler failed, before Nest turned the error into something for the other side. */
export interface HandlerFailure {
  error: unknown
  /** The method was never entered though guards and interceptors had let the message pass: a pipe refused the payload. */
  isRefusal: boolean
}

type Method = (this: unknown, ...args: unknown[]) => unknown

// Nest's name of what `@UseInterceptors` stores (INTERCEPTORS_METADATA), exported by no path that 11 and 12 share.
const INTERCEPTORS = '__interceptors__'

const calls = new AsyncLocalStorage<{ isEntered: boolean }>()
const failures = new WeakMap<TandemContext, HandlerFailure>()
const watchedMethods = new Set<Method>()

/** What the last call for this delivery failed with; undefined when it did not, or failed in a guard or interceptor. */
export function failureOf(context: TandemContext): HandlerFailure | undefined {
  return failures.get(context)
}

/**
 * Nest's exception layer makes "Internal server error" of whatever is no `RpcException`, and a pipe's error looks like the
 * method's own. So the innermost interceptor keeps what it sees fail, and the method notes that it was entered.
 */
const watch: NestInterceptor = {
  intercept(execution: ExecutionContext, next: CallHandler) {
    const context: unknown = execution.getType() === 'rpc' ? execution.switchToRpc().getContext() : undefined
    if (!(context instanceof TandemContext)) return next.handle()
    const call = { isEntered: false }
    const isInnermost = interceptorsOf(execution.getHandler()).at(-1) === watch
    failures.delete(context)
    const handled = new Observable<unknown>((subscriber) => calls.run(call, () => next.handle().subscribe(subscriber)))
    return handled.pipe(
      catchError((error: unknown) => {
        failures.set(context, { error, isRefusal: isInnermost && !call.isEntered })
        return throwError(() => error)
      }),
    )
  },
}

/** Replaces the decorated method by one that is watched and carries the same metadata. */
export function watchMethod(target: object, key: string | symbol, descriptor: PropertyDescriptor): void {
  const method = descriptor.value as Method
  if (!watchedMethods.has(method)) {
    descriptor.value = watched(method)
    watchedMethods.add(descriptor.value)
    UseInterceptors(watch)(target, key, descriptor)
  }
}

/** Enhancers written above the pattern decorator came after it; the watch must be the innermost all the same. */
export function moveWatchesInside(): void {
  for (const method of watchedMethods) {
    const others = interceptorsOf(method).filter((interceptor) => interceptor !== watch)
    Reflect.defineMetadata(INTERCEPTORS, [...others, watch], method)
  }
}

function watched(method: Method): Method {
  const entered: Method = function (this: unknown, ...args) {
    const call = calls.getStore()
    if (call !== undefined) call.isEntered = true
    return method.apply(this, args)
  }
  Object.defineProperty(entered, 'name', { value: method.name, configurable: true })
  Object.defineProperty(entered, 'length', { value: method.length, configurable: true })
  for (const name of Reflect.getMetadataKeys(method)) {
    Reflect.defineMetadata(name, Reflect.getMetadata(name, method), entered)
  }
  return entered
}

function interceptorsOf(method: object): unknown[] {
  return Reflect.getMetadata(INTERCEPTORS, method) ?? []
}
