import { RequestCode } from '@tandemmq/protocol'
import { BusyError } from '../broker-error.ts'

/** Stock brokers put these into every answer to a send, a refusal included, so that clients trace what they sent. */
export const sendAnswerFields = { MSG_REGION: 'DefaultRegion', TRACE_ON: 'true' } as const
const recallAnswerFields = { MSG_REGION: 'DefaultRegion' } as const

/** By request code; most have none. */
const refusalFields: ReadonlyMap<number, Record<string, string>> = new Map<number, Record<string, string>>([
  [RequestCode.SEND_MESSAGE, sendAnswerFields],
  [RequestCode.SEND_MESSAGE_V2, sendAnswerFields],
  [RequestCode.SEND_BATCH_MESSAGE, sendAnswerFields],
  [RequestCode.SEND_REPLY_MESSAGE, sendAnswerFields],
  [RequestCode.SEND_REPLY_MESSAGE_V2, sendAnswerFields],
  [RequestCode.RECALL_MESSAGE, recallAnswerFields],
])

/** Header fields of a refusal. */
export function refusalFieldsOf(requestCode: number, error: unknown): Record<string, string | number> | undefined {
  const fields = refusalFields.get(requestCode)
  return error instanceof BusyError ? { ...fields, retryAfterMs: error.retryAfterMs } : fields
}
