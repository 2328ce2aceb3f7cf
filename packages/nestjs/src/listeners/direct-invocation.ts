/** Calls the listener's method; what it returns may be a value, a promise or an Observable. */
export interface Invocation<C> {
  (payload: unknown, context: C): unknown
  /** False: no parameter, guard, interceptor or pipe ever looks at the payload, so that nobody has to read it. */
  readonly readsPayload: boolean
}

/** A parameter of a listener method, as Nest's creator describes it to `createPipesFn`. */
export interface Parameter {
  readonly index: number
  readonly extractValue: (...args: unknown[]) => unknown
  readonly type: unknown
  readonly pipes?: readonly unknown[]
  readonly schema?: unknown
}

/** What Nest's creator found around one method. */
export interface Surroundings {
  guards: number
  /** Undefined: this version of Nest keeps them where nobody can look. */
  interceptors: number | undefined
  pipes: number
  parameters: readonly Parameter[]
}

/** Nothing stands between message and method: it may be called as it is, without the creator's promises. */
export function isBare({ guards, interceptors, pipes, parameters }: Surroundings): boolean {
  const ownPipes = parameters.some((one) => (one.pipes?.length ?? 0) > 0 || one.schema !== undefined)
  return guards === 0 && interceptors === 0 && pipes === 0 && !ownPipes
}

/**
 * The method with its parameters filled and nothing else around it.
 * @param contextType number Nest gives to a parameter that wants the context; every other one may look at the payload
 */
export function directInvocation<C>(
  host: object,
  method: (...args: unknown[]) => unknown,
  parameters: readonly Parameter[],
  contextType: number,
): Invocation<C> {
  const count = parameters.reduce((most, { index }) => Math.max(most, index + 1), 0)
  const call = (payload: unknown, context: C): unknown => {
    const args = new Array<unknown>(count).fill(null)
    for (const { index, extractValue } of parameters) args[index] = extractValue(payload, context)
    return method.apply(host, args)
  }
  return Object.assign(call, { readsPayload: parameters.some(({ type }) => type !== contextType) })
}

/** Its `length` does not tell: rest parameters and those with a default do not count in it. */
export function takesNothing(method: (...args: unknown[]) => unknown): boolean {
  const source = Function.prototype.toString.call(method)
  return /^(async\s+)?[\w$]+\s*\(\s*\)\s*\{/.test(source) && !/\barguments\b/.test(source)
}
