import { parseLenientJson, RequestCode, ResponseCode } from '@tandemmq/protocol'
import type { ClientCore } from './client-core.ts'
import { ClientError, errorOfAnswer } from './client-error.ts'
import type { JsonObject } from './json.ts'
import { asArray, asNumber, asObject, asText } from './json.ts'
import type { RetryPauses } from './retry-settings.ts'
import { retryPausesOf, retryPolicyJson } from './retry-settings.ts'

/** Settings of a consumer group that operators change; the broker's other ones are kept as they are. */
export interface GroupSettings {
  /** Leases of the group keep the order of each queue (`consumeMessageOrderly`). Default false. */
  readonly ordered?: boolean | undefined
  /**
   * Deliveries of one message in all, for consumers that do not say (`retryMaxTimes` counts those after the first). Infinity = without
   * end. Default 17.
   */
  readonly attemptsMax?: number | undefined
  /** False: the group gets nothing (`consumeEnable`). Default true. */
  readonly enabled?: boolean | undefined
  /** May consume in broadcasting mode (`consumeBroadcastEnable`). Default true. */
  readonly broadcast?: boolean | undefined
  /** Pauses between deliveries (`groupRetryPolicy`), for what a consumer asks no pause of its own for. Default 'levels'. */
  readonly retry?: RetryPauses | undefined
}

/** All settings of a group, each with its value or default. */
export type AllGroupSettings = { readonly [Name in keyof GroupSettings]-?: Exclude<GroupSettings[Name], undefined> }

/** One queue a consumer was assigned, or with mode `lease` (queue -1) a broker it asks. */
export interface ConsumerQueue {
  readonly topic: string
  readonly brokerName: string
  readonly queueId: number
  /** Messages pulled or leased that are not finished. */
  readonly unfinished: number
  /** Next message to be committed; undefined for leases, whose positions the broker keeps. */
  readonly committedOffset: bigint | undefined
}

/** What a running consumer says about itself. */
export interface ConsumerInfo {
  readonly clientId: string
  /** As the client tells them, e.g. `PROP_CONSUMEORDERLY`. */
  readonly properties: Readonly<Record<string, string>>
  readonly queues: readonly ConsumerQueue[]
  /** Expression by topic. */
  readonly subscriptions: Readonly<Record<string, string>>
  /** What it is doing: handlers at work, of a Java client the stacks of its threads. Empty unless asked for. */
  readonly atWork: string
}

/** How a consumer handled one message for an operator. */
export interface DirectOutcome {
  /** `later`: it wants the message again. Nothing of it was settled. */
  readonly result: 'success' | 'later' | 'failed'
  readonly remark: string
  readonly spentMs: number
}

const ANSWER_OF_CLIENT_MS = 15_000

/** The broker's whole record of a group; undefined when it knows none. */
export async function groupConfig(core: ClientCore, address: string, group: string): Promise<JsonObject | undefined> {
  const init = { code: RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG, extFields: { group } }
  const answer = await core.request(address, init)
  if (answer.code === ResponseCode.SUCCESS) return asObject(parseLenientJson(answer.body.toString('utf8')))
  if (answer.code === ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST) return undefined
  // RocketMQ 4.9 tells all groups or none.
  const all = await core.ask(address, { code: RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG }, `settings of ${group}`)
  const table = asObject(asObject(parseLenientJson(all.body.toString('utf8')))['subscriptionGroupTable'])
  return table[group] === undefined ? undefined : asObject(table[group])
}

export function settingsOfConfig(config: JsonObject): AllGroupSettings {
  return {
    ordered: config['consumeMessageOrderly'] === true,
    attemptsMax: attemptsOf(asNumber(config['retryMaxTimes'], 16)),
    enabled: config['consumeEnable'] !== false,
    broadcast: config['consumeBroadcastEnable'] !== false,
    retry: retryPausesOf(config['groupRetryPolicy']),
  }
}

const attemptsOf = (retryMaxTimes: number): number => (retryMaxTimes < 0 ? Number.POSITIVE_INFINITY : retryMaxTimes + 1)

/** Creates the group on one broker or changes it. */
export async function writeGroup(core: ClientCore, address: string, group: string, settings: GroupSettings) {
  const known = await groupConfig(core, address, group)
  const kept = settingsOfConfig(known ?? {})
  const { ordered = kept.ordered, attemptsMax = kept.attemptsMax } = settings
  const { enabled = kept.enabled, broadcast = kept.broadcast } = settings
  if (attemptsMax !== Number.POSITIVE_INFINITY && (!Number.isInteger(attemptsMax) || attemptsMax < 1)) {
    throw new ClientError('INVALID_PARAMETER', `attemptsMax must be a whole number of at least 1, not ${attemptsMax}`)
  }
  const config = {
    ...(known ?? { consumeFromMinEnable: true, retryQueueNums: 1, brokerId: 0, whichBrokerWhenConsumeSlowly: 1 }),
    groupName: group,
    consumeMessageOrderly: ordered,
    retryMaxTimes: attemptsMax === Number.POSITIVE_INFINITY ? -1 : attemptsMax - 1,
    consumeEnable: enabled,
    consumeBroadcastEnable: broadcast,
    ...(settings.retry === undefined ? {} : { groupRetryPolicy: retryPolicyJson(settings.retry) }),
  }
  const init = { code: RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, body: Buffer.from(JSON.stringify(config)) }
  await core.ask(address, init, `create group ${group}`)
}

/** @returns undefined when the broker has no such client in the group */
export async function consumerInfo(
  core: ClientCore,
  address: string,
  group: string,
  clientId: string,
  withWork: boolean,
): Promise<ConsumerInfo | undefined> {
  const extFields = { consumerGroup: group, clientId, jstackEnable: withWork }
  const init = { code: RequestCode.GET_CONSUMER_RUNNING_INFO, extFields }
  const answer = await core.request(address, init, ANSWER_OF_CLIENT_MS)
  if (answer.code === ResponseCode.SYSTEM_ERROR) return undefined
  if (answer.code !== ResponseCode.SUCCESS) throw errorOfAnswer(answer.code, answer.remark, `ask ${clientId}`)
  const body = asObject(parseLenientJson(answer.body.toString('utf8')))
  const properties: Record<string, string> = {}
  for (const [name, value] of Object.entries(asObject(body['properties']))) properties[name] = asText(value)
  const subscriptions: Record<string, string> = {}
  for (const entry of asArray(body['subscriptionSet'])) {
    const data = asObject(entry)
    subscriptions[asText(data['topic'])] = asText(data['subString'])
  }
  return { clientId, properties, queues: queuesOf(body), subscriptions, atWork: asText(body['jstack']) }
}

export async function consumeDirectly(
  core: ClientCore,
  address: string,
  question: { group: string; clientId: string; offsetMessageId: string; topic: string },
): Promise<DirectOutcome> {
  const { group, clientId, offsetMessageId, topic } = question
  const extFields = { consumerGroup: group, clientId, msgId: offsetMessageId, topic }
  const init = { code: RequestCode.CONSUME_MESSAGE_DIRECTLY, extFields }
  const doing = `let ${clientId} handle ${offsetMessageId}`
  const answer = await core.ask(address, init, doing, ANSWER_OF_CLIENT_MS)
  const body = asObject(parseLenientJson(answer.body.toString('utf8')))
  return {
    result: resultOf(body['consumeResult']),
    remark: asText(body['remark']),
    spentMs: asNumber(body['spentTimeMills']),
  }
}

/** Go clients tell the number, Java ones the name (remoting.md 9). */
function resultOf(value: unknown): DirectOutcome['result'] {
  if (value === 'CR_SUCCESS' || value === 'CR_COMMIT' || value === 0 || value === 3) return 'success'
  return value === 'CR_LATER' || value === 1 ? 'later' : 'failed'
}

function queuesOf(body: JsonObject): ConsumerQueue[] {
  const read = (table: unknown, value: (info: JsonObject) => Pick<ConsumerQueue, 'unfinished' | 'committedOffset'>) =>
    Object.entries(asObject(table)).map(([key, info]) => {
      const queue = asObject(parseLenientJson(key))
      const place = { topic: asText(queue['topic']), brokerName: asText(queue['brokerName']) }
      return { ...place, queueId: asNumber(queue['queueId']), ...value(asObject(info)) }
    })
  return [
    ...read(body['mqTable'], (info) => ({
      unfinished: asNumber(info['cachedMsgCount']),
      committedOffset: BigInt(Math.max(0, asNumber(info['commitOffset']))),
    })),
    ...read(body['mqPopTable'], (info) => ({
      unfinished: asNumber(info['waitAckCount']),
      committedOffset: undefined,
    })),
  ]
}
