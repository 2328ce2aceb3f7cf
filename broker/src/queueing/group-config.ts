import { type GroupRetryPolicy, retryPolicyOf } from './group-retry-policy.ts'
import { fieldsOf, numberOf, textOf } from './heartbeat.ts'

/** SubscriptionGroupConfig (remoting.md 1.8), by its wire names, so that unknown fields survive a round trip. */
export interface GroupConfig {
  groupName: string
  /** False: pulls of the group are refused with 16. */
  consumeEnable: boolean
  consumeBroadcastEnable: boolean
  consumeMessageOrderly: boolean
  /** Queues of `%RETRY%group`. */
  retryQueueNums: number
  /** Redeliveries before the dead letter topic, default 16; negative = without end. */
  retryMaxTimes: number
  /** Pauses between deliveries, default the delay levels from 10 s to 2 h. */
  groupRetryPolicy: GroupRetryPolicy
  notifyConsumerIdsChangedEnable: boolean
  /** RocketMQ's groupSysFlag: 1 unit mode. */
  groupSysFlag: number
  [other: string]: unknown
}

export function defaultGroupConfig(groupName: string): GroupConfig {
  return {
    attributes: {},
    brokerId: 0,
    consumeBroadcastEnable: true,
    consumeEnable: true,
    consumeFromMinEnable: true,
    consumeMessageOrderly: false,
    consumeTimeoutMinute: 15,
    groupName,
    groupRetryPolicy: { type: 'CUSTOMIZED' },
    groupSysFlag: 0,
    notifyConsumerIdsChangedEnable: true,
    retryMaxTimes: 16,
    retryQueueNums: 1,
    whichBrokerWhenConsumeSlowly: 1,
  }
}

/**
 * @param value a parsed SubscriptionGroupConfig body; what it leaves out gets its default
 * @throws {ProtocolError} FIELD_INVALID, also for a retry policy nobody could follow
 */
export function groupConfigOf(value: unknown): GroupConfig {
  const fields = fieldsOf(value, 'the group')
  const config: GroupConfig = { ...defaultGroupConfig(textOf(fields, 'groupName')), ...fields }
  config.retryMaxTimes = numberOf(config.retryMaxTimes, 16)
  config.retryQueueNums = numberOf(config.retryQueueNums, 1)
  config.groupRetryPolicy = retryPolicyOf(fields['groupRetryPolicy'])
  config.groupSysFlag = numberOf(config.groupSysFlag, 0)
  return config
}
