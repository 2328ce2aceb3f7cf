import { Field, fieldName, RequestCode, ResponseCode } from '@tandemmq/protocol'
import { BrokerError } from '../broker-error.ts'
import {
  type ConsumerGroups,
  firstAtOrAfter,
  lastAtOrBefore,
  type Offsets,
  type QueueLocks,
  type ReadRecord,
  storeTimestampAt,
  type Topics,
} from '../queueing/index.ts'
import type { Handler } from './handler.ts'
import { answer, flagOr, textOr } from './request-body.ts'

/** Ours: the epoch of the lock under which the messages were consumed. */
const lockEpochField = fieldName('lockEpoch')
const onlyIfAbsentField = fieldName('onlyIfAbsent')

const commitRemarks = {
  stored: undefined,
  same: undefined,
  behind: 'kept: the committed offset is ahead of this one',
  beyond: 'kept: this offset is beyond the end of the queue',
  resetPending: 'ignored: the group was reset and has not pulled since',
} as const

/** Offset codes: query 14, commit 15, by time 29, maximum 30, minimum 31, earliest store time 32. */
export function offsetHandlers(options: {
  topics: Topics
  groups: ConsumerGroups
  offsets: Offsets
  locks: Pick<QueueLocks, 'isStale'>
  read: ReadRecord
  /** Throws when nothing is stored any more: a commit would be gone with the process. */
  requireOpen: () => void
}): Map<number, Handler> {
  const { topics, groups, offsets, locks, read, requireOpen } = options
  const query: Handler = (connection, header) => {
    const group = header.requireText(Field.consumerGroup)
    const topic = header.requireText(Field.topic)
    const zeroIfNotFound = flagOr(header, Field.setZeroIfNotFound, true)
    const offset = offsets.startOffset(group, topic, header.requireInteger(Field.queueId), zeroIfNotFound)
    if (offset >= 0) return answer(connection, header, { extFields: { offset } })
    answer(connection, header, { code: ResponseCode.QUERY_NOT_FOUND, remark: `${group} has committed nothing here` })
  }

  const commit: Handler = (connection, header) => {
    requireOpen()
    const group = groups.require(header.requireText(Field.consumerGroup))
    const topic = topics.require(header.requireText(Field.topic))
    const queueId = header.requireInteger(Field.queueId)
    const queue = topics.requireQueue(topic.name, queueId)
    const offset = header.requireLong(Field.commitOffset)
    const epochAt = header.find(lockEpochField)
    if (epochAt >= 0 && locks.isStale(group.name, topic.name, queueId, header.long(epochAt))) {
      const detail = `${topic.name} queue ${queueId} has another owner in group ${group.name} since`
      throw new BrokerError('ILLEGAL_OPERATION', detail)
    }
    // Ours: members that start together must not each set the beginning of their group.
    if (flagOr(header, onlyIfAbsentField, false) && offsets.committed(group.name, topic.name, queueId) >= 0) {
      return answer(connection, header, { remark: 'kept: the group has a position' })
    }
    const outcome = offsets.commit(group.name, topic.name, queueId, offset, queue)
    if (outcome === 'behind' && groups.members(group.name).length === 0) {
      offsets.commitBackwards(group.name, topic.name, queueId, offset)
      return answer(connection, header)
    }
    const remark = commitRemarks[outcome]
    // Stock clients take anything but 0 for a broken broker, and the outcome is what they want anyway: never backwards.
    answer(connection, header, remark === undefined ? {} : { remark })
  }

  const byTime: Handler = (connection, header) => {
    const queue = topics.requireQueue(header.requireText(Field.topic), header.requireInteger(Field.queueId))
    const timestamp = header.longClamped(header.requireField(Field.timestamp))
    const search =
      textOr(header, Field.boundaryType, 'LOWER').toUpperCase() === 'UPPER' ? lastAtOrBefore : firstAtOrAfter
    answer(connection, header, { extFields: { offset: search(queue, timestamp, read) } })
  }
  const maximum: Handler = (connection, header) => {
    const queue = topics.requireQueue(header.requireText(Field.topic), header.requireInteger(Field.queueId))
    answer(connection, header, { extFields: { offset: queue.maxOffset } })
  }
  const minimum: Handler = (connection, header) => {
    const queue = topics.requireQueue(header.requireText(Field.topic), header.requireInteger(Field.queueId))
    answer(connection, header, { extFields: { offset: queue.minOffset } })
  }
  const earliest: Handler = (connection, header) => {
    const queue = topics.requireQueue(header.requireText(Field.topic), header.requireInteger(Field.queueId))
    answer(connection, header, { extFields: { timestamp: storeTimestampAt(queue, queue.minOffset, read) } })
  }

  return new Map([
    [RequestCode.QUERY_CONSUMER_OFFSET, query],
    [RequestCode.UPDATE_CONSUMER_OFFSET, commit],
    [RequestCode.SEARCH_OFFSET_BY_TIMESTAMP, byTime],
    [RequestCode.GET_MAX_OFFSET, maximum],
    [RequestCode.GET_MIN_OFFSET, minimum],
    [RequestCode.GET_EARLIEST_MSG_STORETIME, earliest],
  ])
}
