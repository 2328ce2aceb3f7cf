import type { Telemetry } from '../observability/telemetry.ts'
import type { Invocation } from './listener-invoker.ts'
import { TandemBatchContext } from './tandem-batch-context.ts'

/** Each call of a listener with `batch` in a span that is linked with its messages. */
export function withBatchSpan(telemetry: Telemetry, group: string, invoke: Invocation): Invocation {
  return (payloads, context) => {
    const contexts = context instanceof TandemBatchContext ? context.getContexts() : [context]
    const messages = () => contexts.map((one) => one.getMessage())
    return telemetry.batch(group, messages, () => invoke(payloads, context))
  }
}
