import { isSystemTopic, SystemTopic } from '@tandemmq/protocol'
import type { ConsumeQueue } from '../store/index.ts'
import { Traffic } from '../traffic.ts'
import { attributeSettings } from './topic-attributes.ts'

/** Permission bits of a topic (remoting.md 3.7). */
export const Perm = { INHERIT: 1, WRITE: 2, READ: 4 } as const

/** What an operator sets and the journal keeps. */
export interface TopicConfig {
  name: string
  readQueues: number
  writeQueues: number
  /** {@link Perm} bits; 6 = read and write. */
  perm: number
  order: boolean
  /** RocketMQ's topicSysFlag: 1 unit, 2 unit subscription. */
  sysFlag: number
  attributes: Record<string, string>
}

export interface Topic extends TopicConfig {
  readonly nameBytes: Buffer
  /** Index = queue id, 0 .. max(readQueues, writeQueues) - 1. */
  queues: ConsumeQueue[]
  /** The broker's own: clients may read it but not send to it. */
  readonly system: boolean
  /** Cursor of the sender who leaves the choice of the queue to the broker. */
  nextQueue: number
  /** Accepted from producers. */
  readonly put: Traffic
  /** Of its attributes: ms, 0 = off, -1 = the broker's own window. */
  dedupWindowMs: number
  /** Of its attributes: queues are priorities, see `TopicAttribute.MESSAGE_TYPE`. */
  isPriority: boolean
}

/** remoting.md 2A: a send to one of these is refused, whoever sends. */
const unsendable: ReadonlySet<string> = new Set<string>([
  SystemTopic.SCHEDULE,
  SystemTopic.TIMER,
  SystemTopic.HALF,
  SystemTopic.OP_HALF,
  SystemTopic.HELD,
  'TRANS_CHECK_MAX_TIME_TOPIC',
  'SELF_TEST_TOPIC',
  'OFFSET_MOVED_EVENT',
])

/** True for topics only the broker itself writes. */
export const isBrokerOwned = (name: string): boolean =>
  unsendable.has(name) || (name.startsWith('rmq_sys_') && isSystemTopic(name))

export function topicOf(config: TopicConfig): Topic {
  return {
    ...config,
    nameBytes: Buffer.from(config.name),
    queues: [],
    system: isBrokerOwned(config.name),
    nextQueue: 0,
    put: new Traffic(),
    ...attributeSettings(config.attributes),
  }
}

/** The shape of TopicConfig bodies on the wire (remoting.md 1.8). */
export function wireTopicConfig(topic: TopicConfig): Record<string, unknown> {
  return {
    attributes: topic.attributes,
    order: topic.order,
    perm: topic.perm,
    readQueueNums: topic.readQueues,
    topicFilterType: 'SINGLE_TAG',
    topicName: topic.name,
    topicSysFlag: topic.sysFlag,
    writeQueueNums: topic.writeQueues,
  }
}
