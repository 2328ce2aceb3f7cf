import { Field, fieldName, RecordView, RequestCode, ResponseCode } from '@tandemmq/protocol'
import { type FindByKey, queryByKey, type ReadRecord, type Topics } from '../queueing/index.ts'
import type { Handler } from './handler.ts'
import { answer, flagOr, longOr } from './request-body.ts'

const indexField = fieldName('index')
const countField = fieldName('count')
/** One answer stays far below the frame limit. */
const ENTRIES_MAX = 10_000

/** Single messages: by offset message id 33, by key 12; entries of a queue 321. */
export function queryHandlers(rooms: { topics: Topics; read: ReadRecord; find: FindByKey }): Map<number, Handler> {
  const { topics, read, find } = rooms
  const view = new RecordView()
  const byId: Handler = (connection, header) => {
    if (header.isOneway) return
    const offset = header.requireLong(Field.offset)
    const record = read(offset)
    // The offset comes from an id somebody typed: whatever lies there must be a record that knows its own place.
    const found = record !== undefined && isRecordAt(view, record, offset)
    if (!found) {
      const remark = `can not find message by the offset, ${offset}`
      return answer(connection, header, { code: ResponseCode.SYSTEM_ERROR, remark })
    }
    connection.reply(header, { code: ResponseCode.SUCCESS, extFields: {}, body: record })
  }

  const byKey: Handler = (connection, header) => {
    if (header.isOneway) return
    const topic = topics.find(header.requireText(Field.topic))
    const query = {
      key: header.requireText(Field.key),
      unique: flagOr(header, Field._UNIQUE_KEY_QUERY, false),
      countMax: header.requireInteger(Field.maxNum),
      begin: longOr(header, Field.beginTimestamp, 0),
      end: longOr(header, Field.endTimestamp, Number.MAX_SAFE_INTEGER),
    }
    const found = topic === undefined ? [] : queryByKey(topic, query, find, read)
    const last = found[0]
    if (last === undefined) {
      return answer(connection, header, {
        code: ResponseCode.QUERY_NOT_FOUND,
        remark: 'can not find message, maybe time range not correct',
        extFields: { indexLastUpdateTimestamp: 0, indexLastUpdatePhyoffset: 0 },
      })
    }
    view.at(last, 0)
    const extFields = { indexLastUpdateTimestamp: view.storeTimestamp, indexLastUpdatePhyoffset: view.physicalOffset }
    connection.reply(header, { code: ResponseCode.SUCCESS, extFields, body: Buffer.concat(found) })
  }

  const entries: Handler = (connection, header) => {
    const queue = topics.requireQueue(header.requireText(Field.topic), header.requireInteger(Field.queueId))
    const first = Math.max(header.longClamped(header.requireField(indexField)), queue.minOffset)
    const count = Math.min(Math.max(header.requireInteger(countField), 0), ENTRIES_MAX)
    const end = Math.min(first + count, queue.maxOffset)
    const queueData = []
    for (let offset = first; offset < end; offset++) {
      const physicOffset = queue.physicalOffset(offset)
      queueData.push({ eval: true, physicOffset, physicSize: queue.size(offset), tagsCode: queue.tagsCode(offset) })
    }
    const body = { maxQueueIndex: queue.maxOffset, minQueueIndex: queue.minOffset, queueData }
    answer(connection, header, { body: JSON.stringify(body) })
  }

  return new Map([
    [RequestCode.QUERY_CONSUME_QUEUE, entries],
    [RequestCode.VIEW_MESSAGE_BY_ID, byId],
    [RequestCode.QUERY_MESSAGE, byKey],
  ])
}

function isRecordAt(view: RecordView, record: Buffer, offset: number): boolean {
  return view.at(record, 0) && view.validate() && view.physicalOffset === offset
}
