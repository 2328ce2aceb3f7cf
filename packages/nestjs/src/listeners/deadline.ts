import { RejectMessage, TandemError } from '@tandemmq/client'
import type { Clock } from '@tandemmq/client'
import type { Invocation } from './listener-invoker.ts'
import { reasonOf } from './outcome.ts'
import type { TandemContext } from './tandem-context.ts'

export interface DeadlinePort {
  readonly clock: Clock
  isPayloadRefusal(context: TandemContext, error: unknown): boolean
}

/**
 * Ends the wait for a method that runs longer than `timeoutMs`: the signal of its context is aborted, and the call rejects
 * with ABORTED whatever the method still does.
 */
export function withDeadline(
  timeoutMs: number,
  { clock, isPayloadRefusal }: DeadlinePort,
  invoke: Invocation,
): Invocation {
  return async (payload, context) => {
    const controller = new AbortController()
    // Whatever kind of context it is, with another signal.
    const limited: TandemContext = Object.create(context, {
      signal: { get: () => AbortSignal.any([context.signal, controller.signal]) },
    })
    let timer: { cancel(): void } | undefined
    const passed = new Promise<never>((_, reject) => {
      timer = clock.setTimer(timeoutMs, () => {
        const error = new TandemError('ABORTED', `the listener ran for more than ${timeoutMs} ms`)
        controller.abort(error)
        reject(error)
      })
    })
    try {
      return await Promise.race([invoke(payload, limited), passed])
    } catch (error) {
      // Noted under a context that only this call knows.
      if (!isPayloadRefusal(limited, error)) throw error
      throw new RejectMessage(`payload refused: ${reasonOf(error)}`, { cause: error })
    } finally {
      timer?.cancel()
    }
  }
}
