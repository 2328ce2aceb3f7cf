import {
  CLIENT_VERSION,
  DEFAULT_DELAY_LEVELS,
  encodeProperties,
  PropertyName,
  RequestCode,
  retryTopic,
} from '@tandemmq/protocol'
import { messageOf } from '../client-error.ts'
import type { ClientCore } from '../cluster/client-core.ts'
import { TEMPLATE_QUEUES, TEMPLATE_TOPIC } from '../cluster/route-table.ts'
import type { ConsumedMessage } from '../message/consumed-message.ts'

/** How a message returns to the broker. */
export interface Return {
  /** 0 = the broker's own back-off, -1 = dead letter at once, otherwise a delay level. */
  readonly delayLevel: number
  /** TandemMQ only: exact delay. */
  readonly delayMs?: number | undefined
  /** Kept with a dead letter by TandemMQ. */
  readonly reason: string
}

const REASON_CHARACTERS_MAX = 512
const SEND_BACK_TIMEOUT_MS = 5_000
const FIRST_RETRY_LEVEL = 3
/** What made of it a half message, or late: a stock broker leaves them in what it delivers, and would do the same once more. */
const ONCE_ONLY = [
  PropertyName.TRAN_MSG,
  PropertyName.DELAY,
  PropertyName.TIMER_DELAY_SEC,
  PropertyName.TIMER_DELAY_MS,
  PropertyName.TIMER_DELIVER_MS,
]

/** The shortest delay level that is not shorter than `delayMs`: later is allowed, earlier is not. */
export function levelOf(delayMs: number): number {
  const index = DEFAULT_DELAY_LEVELS.findIndex((level) => level >= delayMs)
  return index < 0 ? DEFAULT_DELAY_LEVELS.length : index + 1
}

/**
 * Gives a message back to its broker; when that fails, sends it to the retry topic as an ordinary message, as Java does.
 * @param attemptsMax deliveries in all before it becomes a dead letter
 * @throws {ClientError} when neither worked: the message is still ours
 */
export async function sendBack(
  core: ClientCore,
  group: string,
  message: ConsumedMessage,
  how: Return,
  attemptsMax: number,
): Promise<void> {
  // The wire counts retries, not deliveries.
  const retriesMax = Math.min(attemptsMax - 1, 0x7fffffff)
  const reason = how.reason.slice(0, REASON_CHARACTERS_MAX)
  const address = core.brokerAddress(message.brokerName)
  const extFields = {
    offset: message.physicalOffset,
    group,
    delayLevel: how.delayLevel,
    originMsgId: message.offsetMessageId,
    originTopic: message.topic,
    unitMode: false,
    maxReconsumeTimes: retriesMax,
    bname: message.brokerName,
    delayMs: how.delayMs,
    reason,
  }
  const init = { code: RequestCode.CONSUMER_SEND_MSG_BACK, extFields }
  try {
    await core.ask(address, init, `send back ${message.messageId}`, SEND_BACK_TIMEOUT_MS)
  } catch (error) {
    core.logger.warn(`send back of ${message.messageId} failed, sending it to the retry topic: ${messageOf(error)}`)
    await sendToRetryTopic(core, group, message, how, retriesMax, reason)
  }
}

/**
 * Makes a message a dead letter with its reason, on every broker: it is sent with a count above the limit, which the broker turns
 * into the dead letter topic. For messages that cannot be sent back, because what they came from was a lease.
 * @throws {ClientError} when that failed: the message is still ours
 */
export async function deadLetter(
  core: ClientCore,
  group: string,
  message: ConsumedMessage,
  reason: string,
): Promise<void> {
  const how = { delayLevel: -1, reason }
  await sendToRetryTopic(core, group, message, how, message.attempt - 1, reason.slice(0, REASON_CHARACTERS_MAX))
}

/**
 * Delivers a message to its group again, at once and as a first attempt, on every broker: as a retry with the count of none.
 * @param topic where it was sent first
 */
export async function redeliver(
  core: ClientCore,
  group: string,
  message: ConsumedMessage,
  topic: string,
): Promise<void> {
  const properties = retryProperties(message, topic)
  for (const name of ONCE_ONLY) delete properties[name]
  await sendRetry(core, group, message, { properties, reconsumeTimes: 0, retriesMax: undefined })
}

async function sendToRetryTopic(
  core: ClientCore,
  group: string,
  message: ConsumedMessage,
  how: Return,
  retriesMax: number,
  reason: string,
): Promise<void> {
  const properties = retryProperties(message, message.topic)
  properties[PropertyName.DLQ_REASON] = reason
  properties[PropertyName.DELAY] = String(
    how.delayLevel > 0 ? how.delayLevel : FIRST_RETRY_LEVEL + message.reconsumeTimes,
  )
  delete properties[PropertyName.DEDUP_KEY]
  // There is no "dead letter at once" here: a count above the limit has the same effect.
  const reconsumeTimes = how.delayLevel < 0 ? retriesMax + 1 : message.reconsumeTimes + 1
  await sendRetry(core, group, message, { properties, reconsumeTimes, retriesMax })
}

function retryProperties(message: ConsumedMessage, topic: string): Record<string, string> {
  const properties: Record<string, string> = {
    ...message.properties,
    [PropertyName.RETRY_TOPIC]: topic,
    [PropertyName.ORIGIN_MESSAGE_ID]: message.properties[PropertyName.ORIGIN_MESSAGE_ID] ?? message.offsetMessageId,
  }
  // Of this delivery, not of the message.
  delete properties[PropertyName.POP_CK]
  return properties
}

interface Retry {
  readonly properties: Record<string, string>
  readonly reconsumeTimes: number
  /** undefined: what the broker says for the group. */
  readonly retriesMax: number | undefined
}

async function sendRetry(
  core: ClientCore,
  group: string,
  message: ConsumedMessage,
  { properties, reconsumeTimes, retriesMax }: Retry,
): Promise<void> {
  const topic = retryTopic(group)
  const route = await core.routes.load(topic)
  const queue = route.writeQueues[0]
  const brokerName = queue?.brokerName ?? message.brokerName
  await core.ask(
    core.brokerAddress(brokerName),
    {
      code: RequestCode.SEND_MESSAGE_V2,
      version: CLIENT_VERSION,
      extFields: {
        a: group,
        b: topic,
        c: TEMPLATE_TOPIC,
        d: TEMPLATE_QUEUES,
        e: queue?.queueId ?? 0,
        f: message.sysFlag & 0x701,
        g: message.bornTimestamp,
        h: message.flag,
        i: encodeProperties(properties).toString('utf8'),
        j: reconsumeTimes,
        k: false,
        l: retriesMax,
        m: false,
        n: brokerName,
      },
      body: message.storedBody,
    },
    `send ${message.messageId} to ${topic}`,
    SEND_BACK_TIMEOUT_MS,
  )
}
