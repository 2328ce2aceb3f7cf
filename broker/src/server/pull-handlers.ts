import { RequestCode } from '@tandemmq/protocol'
import type { PullService } from '../queueing/index.ts'
import { type DeliveryGuardOptions, guarded } from './delivery-guard.ts'
import type { Handler } from './handler.ts'

/** Delivery by pull: 11, and 361 of the lite pull consumer, which is the same request. */
export function pullHandlers(pulls: PullService, guard: DeliveryGuardOptions): Map<number, Handler> {
  const pull = guarded((connection, header) => pulls.pull(connection, header), guard)
  return new Map([
    [RequestCode.PULL_MESSAGE, pull],
    [RequestCode.LITE_PULL_MESSAGE, pull],
  ])
}
