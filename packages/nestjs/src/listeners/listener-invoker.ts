import { Inject, Injectable } from '@nestjs/common'
import { ContextIdFactory, ExternalContextCreator, ModuleRef } from '@nestjs/core'
import { isObservable, lastValueFrom } from 'rxjs'
import { directInvocation, isBare, takesNothing } from './direct-invocation.ts'
import type { Parameter, Surroundings } from './direct-invocation.ts'
import type { FoundListener } from './listener-discovery.ts'
import type { TandemContext } from './tandem-context.ts'

/** Calls the listener's method with guards, interceptors and pipes around it; settles as the method does. */
export interface Invocation {
  (payload: unknown, context: TandemContext): unknown
  /** False: nobody looks at the payload. Default true. */
  readonly readsPayload?: boolean
}

// Nest's names for what @Payload() and @Ctx() store (ROUTE_ARGS_METADATA, RpcParamtype); none of them is exported by a
// path that exists in both 11 and 12.
const PARAMETERS = '__routeArguments__'
const PAYLOAD = 3
const CONTEXT = 6
/** Stands in for parameter decorators on a method that has none, so that pipes see its payload all the same. */
const DEFAULT_PARAMETERS = '__tandemArguments__'

const parameters = {
  exchangeKeyForValue(type: number, key: unknown, [payload, context]: [unknown, unknown]): unknown {
    if (type === CONTEXT) return context
    if (type !== PAYLOAD) return null
    return typeof key === 'string' ? (payload as Record<string, unknown> | null | undefined)?.[key] : payload
  },
}

/** Runs listener methods the way Nest runs controller methods. */
@Injectable()
export class ListenerInvoker {
  private readonly moduleRef: ModuleRef
  private readonly creator: ExternalContextCreator
  private readonly refused = new WeakMap<TandemContext, unknown>()
  /** Of the method last bound. */
  private readonly found: Surroundings = { guards: 0, interceptors: undefined, pipes: 0, parameters: [] }

  constructor(
    @Inject(ExternalContextCreator) creator: ExternalContextCreator,
    @Inject(ModuleRef) moduleRef: ModuleRef,
  ) {
    this.moduleRef = moduleRef
    this.creator = watchedCreator(creator, this.refused, this.found)
  }

  /** True when `error` is what a pipe threw about the payload of this delivery, not what the method threw. */
  isPayloadRefusal(context: TandemContext, error: unknown): boolean {
    return this.refused.has(context) && this.refused.get(context) === error
  }

  invocationOf(listener: FoundListener): Invocation {
    const { wrapper, metatype, method } = listener
    if (Reflect.getMetadata(PARAMETERS, metatype, method) === undefined) {
      const defaults = { [`${PAYLOAD}:0`]: { index: 0, pipes: [] }, [`${CONTEXT}:1`]: { index: 1, pipes: [] } }
      Reflect.defineMetadata(DEFAULT_PARAMETERS, defaults, metatype, method)
    }
    if (wrapper.isDependencyTreeStatic()) return this.bindOnce(wrapper.instance, listener)
    return (payload, context) => this.invokeScoped(listener, payload, context)
  }

  /** The method of a provider that stays: called directly when nothing is around it, which most listeners are. */
  private bindOnce(instance: unknown, listener: FoundListener): Invocation {
    const bound = this.bind(instance, listener)
    if (!isBare(this.found)) return bound
    const host = instance as Record<string, (...args: unknown[]) => unknown>
    const method = host[listener.method] as (...args: unknown[]) => unknown
    const isDecorated = Reflect.getMetadata(PARAMETERS, listener.metatype, listener.method) !== undefined
    const asked = !isDecorated && takesNothing(method) ? [] : this.found.parameters
    return directInvocation(host, method, asked, CONTEXT)
  }

  /** Request scope: one sub-tree of providers per message, thrown away with it. */
  private async invokeScoped(listener: FoundListener, payload: unknown, context: TandemContext): Promise<unknown> {
    const request = new MessageRequest(context.getPattern(), payload, context)
    const contextId = ContextIdFactory.getByRequest(request)
    const durable = listener.wrapper.isDependencyTreeDurable()
    this.moduleRef.registerRequestByContextId(durable ? contextId.payload : request, contextId)
    const instance: unknown = await this.moduleRef.resolve(listener.wrapper.token as string, contextId, {
      strict: false,
    })
    return this.bind(instance, listener, contextId)(payload, context)
  }

  private bind(
    instance: unknown,
    { metatype, method, wrapper }: FoundListener,
    contextId?: { id: number },
  ): Invocation {
    const host = instance as Record<string, (...args: unknown[]) => unknown>
    const callback = host[method] as (...args: unknown[]) => unknown
    const decorated = Reflect.getMetadata(PARAMETERS, metatype, method) !== undefined
    return this.creator.create(
      host,
      callback,
      method,
      decorated ? PARAMETERS : DEFAULT_PARAMETERS,
      parameters,
      contextId,
      contextId && wrapper.id,
      // No filters: the original error must arrive here, it decides what becomes of the message.
      { guards: true, interceptors: true, filters: false },
      'rpc',
    )
  }
}

/** What a request-scoped provider gets as `REQUEST` or `CONTEXT`: the shape Nest's own transports give. */
class MessageRequest {
  readonly pattern: string
  readonly data: unknown
  readonly context: TandemContext

  constructor(pattern: string, data: unknown, context: TandemContext) {
    this.pattern = pattern
    this.data = data
    this.context = context
  }

  getData(): unknown {
    return this.data
  }

  getPattern(): string {
    return this.pattern
  }

  getContext(): TandemContext {
    return this.context
  }
}

/**
 * The application's creator with two public steps observed. A failing pipe must be told from a failing method (the one
 * rejects the message, the other retries it), and a method whose Observable ends without a value has succeeded.
 */
function watchedCreator(
  creator: ExternalContextCreator,
  refused: WeakMap<TandemContext, unknown>,
  found: Surroundings,
): ExternalContextCreator {
  const watched: ExternalContextCreator = Object.create(creator)
  watchInterceptors(watched, found)
  watched.createGuardsFn = (guards, ...given) => {
    found.guards = guards.length
    return creator.createGuardsFn(guards, ...given)
  }
  watched.createPipesFn = (pipes, options) => {
    found.pipes = pipes.length
    found.parameters = options as readonly Parameter[]
    const apply = creator.createPipesFn(pipes, options)
    if (apply === null) return null
    return async (args, ...given) => {
      try {
        await apply(args, ...given)
      } catch (error) {
        refused.set(given[1] as TandemContext, error)
        throw error
      }
    }
  }
  watched.transformToResult = async (result) =>
    isObservable(result) ? lastValueFrom(result, { defaultValue: undefined }) : result
  return watched
}

/** Nest has no public step for interceptors; where its field is called otherwise they stay unknown, and every method is wrapped. */
function watchInterceptors(watched: object, found: Surroundings): void {
  const field = 'interceptorsContextCreator'
  const own = (watched as Record<string, { create?: (...args: unknown[]) => unknown[] } | undefined>)[field]
  if (own?.create === undefined) return
  const create = (...args: unknown[]): unknown[] => {
    const interceptors = own.create?.(...args) ?? []
    found.interceptors = interceptors.length
    return interceptors
  }
  Object.defineProperty(watched, field, { value: Object.assign(Object.create(own), { create }) })
}
