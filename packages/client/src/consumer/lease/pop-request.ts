import { PropertyName, RequestCode, ResponseCode } from '@tandemmq/protocol'
import { ClientError, errorOfAnswer, retryAfterOf } from '../../client-error.ts'
import type { ClientCore } from '../../cluster/client-core.ts'
import type { SubscriptionData } from '../../cluster/heartbeat.ts'
import type { ConsumedMessage } from '../../message/consumed-message.ts'
import { readMessages } from '../../message/record-reader.ts'
import { longOf } from '../pull-request.ts'
import type { Receipt } from './receipt.ts'
import { formOf, parseNumbersByQueue, parseReceipt } from './receipt.ts'

/** `none`: nothing came; `full`: too many ask already; `throttled`: the broker wants a pause. */
export type PopStatus = 'found' | 'none' | 'full' | 'throttled'

export interface PopAnswer {
  readonly status: PopStatus
  /** Of `throttled`: how long the pause should be; undefined when the broker did not say. */
  readonly retryAfterMs?: number | undefined
  readonly messages: readonly PoppedMessage[]
  /** Broker's clock when it answered; 0 = not told. */
  readonly popTime: number
}

export interface PoppedMessage {
  readonly message: ConsumedMessage
  readonly receipt: Receipt
}

export interface PopRequest {
  readonly group: string
  readonly topic: string
  readonly brokerName: string
  /** At most 32. */
  readonly messagesMax: number
  readonly invisibleMs: number
  readonly holdMs: number
  /** When the question was asked, by the broker's clock. */
  readonly bornTime: number
  readonly isOrdered: boolean
  readonly isByKey: boolean
  /** The same for a repeat of a question whose answer was lost. */
  readonly attemptId: string
  readonly subscription: SubscriptionData
}

const ANY_QUEUE = -1
/** A group without a position starts at the beginning; the others were given one before. */
const FROM_THE_BEGINNING = 0
/** As Java: what the client waits longer than the broker may hold the request. */
const ANSWER_MARGIN_MS = 10_000
/** A filter may take a broker 10 s, also when it is not to hold the request. */
const ANSWER_MS_MIN = 15_000

const statusOfCode = new Map<number, PopStatus>([
  [ResponseCode.SUCCESS, 'found'],
  [ResponseCode.PULL_NOT_FOUND, 'none'],
  [ResponseCode.PULL_RETRY_IMMEDIATELY, 'none'],
  [ResponseCode.POLLING_TIMEOUT, 'none'],
  [ResponseCode.POLLING_FULL, 'full'],
  [ResponseCode.FLOW_CONTROL, 'throttled'],
])

/**
 * Leases messages from all queues a broker has of a topic, its retry topic included (POP_MESSAGE 200050).
 * @throws {ClientError} what the broker answered, or the connection's failure
 */
export async function pop(core: ClientCore, request: PopRequest): Promise<PopAnswer> {
  const { topic, brokerName, holdMs, subscription } = request
  const init = {
    code: RequestCode.POP_MESSAGE,
    extFields: {
      consumerGroup: request.group,
      topic,
      queueId: ANY_QUEUE,
      maxMsgNums: request.messagesMax,
      invisibleTime: request.invisibleMs,
      pollTime: holdMs,
      bornTime: request.bornTime,
      initMode: FROM_THE_BEGINNING,
      expType: subscription.expressionType,
      exp: subscription.subString,
      order: request.isOrdered,
      attemptId: request.attemptId,
      bname: brokerName,
      marksBegin: true,
      ...(request.isByKey ? { orderByKey: true } : {}),
    },
  }
  const answerMs = Math.max(holdMs + ANSWER_MARGIN_MS, ANSWER_MS_MIN)
  const answer = await core.request(core.brokerAddress(brokerName), init, answerMs)
  const status = statusOfCode.get(answer.code)
  if (status === undefined) throw errorOfAnswer(answer.code, answer.remark, `pop ${topic} of ${brokerName}`)
  const popTime = longOf(answer, 'popTime')
  const retryAfterMs = retryAfterOf(answer.extFields['retryAfterMs'])
  if (status !== 'found') return { status, messages: [], popTime, retryAfterMs }
  return { status, popTime, messages: messagesOf(request, answer.extFields, answer.body) }
}

function messagesOf(
  request: PopRequest,
  fields: Readonly<Record<string, string | undefined>>,
  body: Buffer,
): PoppedMessage[] {
  const { group, topic, brokerName } = request
  const starts = parseNumbersByQueue(fields['startOffsetInfo'] ?? '')
  const counts = parseNumbersByQueue(fields['orderCountInfo'] ?? '')
  const batch = {
    popTime: Number(fields['popTime']),
    invisibleMs: Number(fields['invisibleTime']),
    reviveQueueId: Number(fields['reviveQid']),
    brokerName,
  }
  const messages: PoppedMessage[] = []
  readMessages(body, brokerName, group, (message, offset) => {
    const { queueId } = message
    const given = message.properties[PropertyName.POP_CK]
    const form = given === undefined ? formOf(message.storedTopic, topic, group) : '0'
    const startOffset = starts.get(`${form} ${queueId}`) ?? offset
    const own = { ...batch, startOffset, form, queueId, offset }
    const receipt = given === undefined ? own : parseReceipt(given)
    if (receipt === undefined) throw new ClientError('SYSTEM_ERROR', `pop ${topic}: "${given}" is no receipt`)
    const place = `${receipt.form} qo${receipt.queueId}%${receipt.offset}`
    const count = counts.get(place) ?? counts.get(`${receipt.form} ${receipt.queueId}`)
    if (request.isOrdered && count !== undefined) message.attempt = count + 1
    messages.push({ message, receipt })
  })
  return messages
}
