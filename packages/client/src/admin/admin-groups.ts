import { parseLenientJson, RequestCode, ResponseCode } from '@tandemmq/protocol'
import { ClientError } from '../client-error.ts'
import type { ClientCore } from '../cluster/client-core.ts'
import type { JsonObject } from '../json.ts'
import { asNumber, asObject } from '../json.ts'
import type { AdminCluster, Brokers } from './admin-cluster.ts'
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

export async function groupNames(core: ClientCore, brokers: Brokers): Promise<string[]> {
  const names = new Set<string>()
  for (const address of brokers.values()) {
    const answer = await core.ask(address, { code: RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG }, 'list groups')
    const body = asObject(parseLenientJson(answer.body.toString('utf8')))
    for (const name of Object.keys(asObject(body['subscriptionGroupTable']))) names.add(name)
  }
  return [...names].toSorted()
}

/** @param withPositions also how far it was */
export function deleteGroup(cluster: AdminCluster, group: string, withPositions: boolean): Promise<void> {
  const extFields = { groupName: group, cleanOffset: withPositions }
  return cluster.everyBroker({ code: RequestCode.DELETE_SUBSCRIPTIONGROUP, extFields }, `delete group ${group}`)
}
