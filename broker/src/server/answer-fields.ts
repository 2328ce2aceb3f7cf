import { RequestCode } from '@tandemmq/protocol'

/** Stock brokers put these into every answer to a send, a refusal included, so that clients trace what they sent. */
export const sendAnswerFields = { MSG_REGION: 'DefaultRegion', TRACE_ON: 'true' } as const
const recallAnswerFields = { MSG_REGION: 'DefaultRegion' } as const

/** Header fields of a refusal, by request code; most have none. */
export const refusalFields: ReadonlyMap<number, Record<string, string>> = new Map<number, Record<string, string>>([
  [RequestCode.SEND_MESSAGE, sendAnswerFields],
  [RequestCode.SEND_MESSAGE_V2, sendAnswerFields],
  [RequestCode.SEND_BATCH_MESSAGE, sendAnswerFields],
  [RequestCode.SEND_REPLY_MESSAGE, sendAnswerFields],
  [RequestCode.SEND_REPLY_MESSAGE_V2, sendAnswerFields],
  [RequestCode.RECALL_MESSAGE, recallAnswerFields],
])
