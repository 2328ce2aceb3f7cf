import { BrokerError } from '../broker-error.ts'
import type { ConsumeQueue } from '../store/index.ts'
import { Perm, type TopicConfig } from './topic.ts'

const QUEUES_MAX = 1024

export function defaultConfig(name: string, queues: number): TopicConfig {
  const perm = Perm.READ | Perm.WRITE
  return { name, readQueues: queues, writeQueues: queues, perm, order: false, sysFlag: 0, attributes: {} }
}

export function pickConfig(topic: TopicConfig): TopicConfig {
  const { name, readQueues, writeQueues, perm, order, sysFlag, attributes } = topic
  return { name, readQueues, writeQueues, perm, order, sysFlag, attributes }
}

/** @throws {BrokerError} INVALID_PARAMETER */
export function checkNumbers({ name, readQueues, writeQueues, perm }: TopicConfig): void {
  for (const [what, value] of Object.entries({ readQueueNums: readQueues, writeQueueNums: writeQueues })) {
    if (Number.isInteger(value) && value >= 1 && value <= QUEUES_MAX) continue
    throw new BrokerError('INVALID_PARAMETER', `${what} of topic ${name} must be 1 to ${QUEUES_MAX}, not ${value}`)
  }
  if (!Number.isInteger(perm) || perm < 0 || perm > 7) {
    throw new BrokerError('INVALID_PARAMETER', `perm of topic ${name} must be 0 to 7, not ${perm}`)
  }
}

/**
 * Queues consumers must see, whatever fewer an operator asks for: RocketMQ's way to fewer queues is to write to fewer first and to read
 * from fewer when the others are empty (broker.md 7.6), and one who takes both steps at once must not lose what was acknowledged.
 * @param stored those the store has; a message on its way to the disk counts
 */
export function readableQueues(asked: Pick<TopicConfig, 'readQueues'>, stored: readonly ConsumeQueue[]): number {
  let count = asked.readQueues
  for (const { queueId, minOffset, nextOffset } of stored) {
    if (nextOffset > minOffset && queueId >= count) count = queueId + 1
  }
  return count
}

/** What whoever asked for fewer queues is told. Undefined: it was done. */
export function keptRemark(name: string, asked: number, has: number): string | undefined {
  if (has <= asked) return undefined
  return `${name} keeps ${has} queues to read from, not ${asked}: the others hold messages. Ask again when they are empty`
}
