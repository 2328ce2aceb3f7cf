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

/** A class, since every send reads several fields: thousands of objects put together from parts would be of as many shapes to V8. */
export class Topic implements TopicConfig {
  readonly name: string
  readonly nameBytes: Buffer
  readQueues = 0
  writeQueues = 0
  perm = 0
  order = false
  sysFlag = 0
  attributes: Record<string, string> = {}
  /** Of its attributes: ms, 0 = off, -1 = the broker's own window. */
  dedupWindowMs = -1
  /** Of its attributes: queues are priorities, see `TopicAttribute.MESSAGE_TYPE`. */
  isPriority = false
  /** Index = queue id, 0 .. max(readQueues, writeQueues) - 1. */
  queues: ConsumeQueue[] = []
  /** The broker's own: clients may read it but not send to it. */
  readonly system: boolean
  /** Cursor of the sender who leaves the choice of the queue to the broker. */
  nextQueue = 0
  /** Accepted from producers. */
  readonly put = new Traffic()

  constructor(config: TopicConfig) {
    this.name = config.name
    this.nameBytes = Buffer.from(config.name)
    this.system = isBrokerOwned(config.name)
    this.configure(config)
  }

  /** Takes over what an operator set. */
  configure({ readQueues, writeQueues, perm, order, sysFlag, attributes }: TopicConfig): void {
    this.readQueues = readQueues
    this.writeQueues = writeQueues
    this.perm = perm
    this.order = order
    this.sysFlag = sysFlag
    this.attributes = attributes
    const { dedupWindowMs, isPriority } = attributeSettings(attributes)
    this.dedupWindowMs = dedupWindowMs
    this.isPriority = isPriority
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
