import type { ArgumentsHost, ExceptionFilter, Type } from '@nestjs/common'
import { ReconsumeLater, RejectMessage } from '@tandemmq/client'
import { isObservable, lastValueFrom } from 'rxjs'
import type { FoundListener } from './listener-discovery.ts'
import type { Invocation } from './listener-invoker.ts'
import type { TandemContext } from './tandem-context.ts'

// What @UseFilters() and @Catch() store (EXCEPTION_FILTERS_METADATA, FILTER_CATCH_EXCEPTIONS).
const FILTERS = '__exceptionFilters__'
const CATCHES = '__filterCatchExceptions__'

interface Known {
  filter: ExceptionFilter
  catches: readonly Type<unknown>[]
}

/**
 * Runs the `@UseFilters()` of the listener's own method and class on what it throws; outcomes go past them. A filter that
 * returns has answered: **the message is consumed**. One that throws decides by what it throws. Filters of the whole
 * application are not run: they answer HTTP requests as a rule, and would consume every failed message.
 */
export function withFilters(listener: FoundListener, invoke: Invocation): Invocation {
  const own = filtersOf(listener)
  return async (payload, context) => {
    try {
      return await invoke(payload, context)
    } catch (error) {
      if (error instanceof ReconsumeLater || error instanceof RejectMessage) throw error
      const found = own
        .map((filter) => known(filter, listener))
        .find(({ catches }) => catches.length === 0 || catches.some((type) => error instanceof type))
      if (found === undefined) throw error
      const answer: unknown = await found.filter.catch(error, hostOf(payload, context))
      return isObservable(answer) ? await lastValueFrom(answer, { defaultValue: undefined }) : answer
    }
  }
}

/** True for a listener with `@UseFilters()` on its method or class. */
export function hasFilters(listener: FoundListener): boolean {
  return filtersOf(listener).length > 0
}

function filtersOf({ metatype, method }: FoundListener): (Type<ExceptionFilter> | ExceptionFilter)[] {
  const callback = (metatype.prototype as Record<string, object>)[method] as object
  return [...declared(callback), ...declared(metatype)]
}

function declared(target: object): (Type<ExceptionFilter> | ExceptionFilter)[] {
  return Reflect.getMetadata(FILTERS, target) ?? []
}

function known(filter: Type<ExceptionFilter> | ExceptionFilter, { wrapper }: FoundListener): Known {
  if (typeof filter !== 'function') return { filter, catches: Reflect.getMetadata(CATCHES, filter.constructor) ?? [] }
  const made = wrapper.host?.injectables.get(filter)?.instance as ExceptionFilter | undefined
  return { filter: made ?? new filter(), catches: Reflect.getMetadata(CATCHES, filter) ?? [] }
}

function hostOf(payload: unknown, context: TandemContext): ArgumentsHost {
  const given = [payload, context] as const
  const host = {
    getArgs: () => given,
    getArgByIndex: (index: number) => given[index],
    getType: () => 'rpc',
    switchToRpc: () => ({ getData: () => payload, getContext: () => context }),
    switchToHttp: () => host,
    switchToWs: () => host,
  }
  return host as unknown as ArgumentsHost
}
