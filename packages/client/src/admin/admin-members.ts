import { parseLenientJson, RequestCode, ResponseCode } from '@tandemmq/protocol'
import { errorOfAnswer } from '../client-error.ts'
import type { ClientCore } from '../cluster/client-core.ts'
import type { SubscriptionConflict } from '../consumer/subscription-conflicts.ts'
import { conflictsOfBody } from '../consumer/subscription-conflicts.ts'
import type { JsonObject } from '../json.ts'
import { asArray, asNumber, asObject, asText } from '../json.ts'
import type { Brokers } from './admin-cluster.ts'

export interface MemberConnection {
  readonly clientId: string
  readonly address: string
  readonly language: string
  readonly version: number
}

export interface GroupConnections {
  readonly members: readonly MemberConnection[]
  readonly messageModel: string
  readonly subscriptions: Readonly<Record<string, string>>
  /** Topics of which the members want different messages; Apache brokers do not tell. */
  readonly conflicts: readonly SubscriptionConflict[]
}

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

/** Who consumes as this group now. */
export async function membersOf(core: ClientCore, brokers: Brokers, group: string): Promise<GroupConnections> {
  const init = { code: RequestCode.GET_CONSUMER_CONNECTION_LIST, extFields: { consumerGroup: group } }
  const members = new Map<string, MemberConnection>()
  const subscriptions: Record<string, string> = {}
  const conflicts: SubscriptionConflict[] = []
  let messageModel = ''
  for (const address of brokers.values()) {
    const answer = await core.request(address, init)
    if (answer.code === ResponseCode.CONSUMER_NOT_ONLINE) continue
    if (answer.code !== ResponseCode.SUCCESS) throw errorOfAnswer(answer.code, answer.remark, `members of ${group}`)
    const body = asObject(parseLenientJson(answer.body.toString('utf8')))
    messageModel = asText(body['messageModel'])
    conflicts.push(...conflictsOfBody(body))
    for (const entry of asArray(body['connectionSet'])) {
      const member = memberOf(asObject(entry))
      members.set(member.clientId, member)
    }
    for (const [topic, data] of Object.entries(asObject(body['subscriptionTable']))) {
      subscriptions[topic] = asText(asObject(data)['subString'])
    }
  }
  return { members: [...members.values()], messageModel, subscriptions, conflicts }
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

function memberOf(entry: JsonObject): MemberConnection {
  return {
    clientId: asText(entry['clientId']),
    address: asText(entry['clientAddr']),
    language: asText(entry['language']),
    version: asNumber(entry['version']),
  }
}
