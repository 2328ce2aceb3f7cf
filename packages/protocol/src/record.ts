import { copyWithCrc32, crc32Combine, crc32Of } from './crc32.ts'
import { ProtocolError } from './errors.ts'
import {
  bodyLengthAt,
  PROPERTIES_BYTES_MAX,
  RECORD_MAGIC_V1,
  RECORD_MAGIC_V2,
  RecordAt,
  storeTimestampAt,
  TOPIC_BYTES_MAX_V1,
  writeInt64,
} from './record-layout.ts'
import { SysFlag } from './sys-flag.ts'

/** What a record is written from; one reusable object on the hot path. Offsets and times are safe integers. */
export interface RecordFields {
  topic: Buffer
  queueId: number
  queueOffset: number
  physicalOffset: number
  flag: number
  /** The host bits are set by {@link writeRecord} from the lengths of the hosts. */
  sysFlag: number
  bornTimestamp: number
  /** 4 or 16 address bytes, then 4 port bytes, see hostBytes. */
  bornHost: Buffer
  storeTimestamp: number
  storeHost: Buffer
  reconsumeTimes: number
  preparedTransactionOffset: number
  body: Buffer
  bodyStart: number
  bodyEnd: number
  properties: Buffer
  propertiesStart: number
  propertiesEnd: number
}

const HOST_BITS = SysFlag.BORN_HOST_V6 | SysFlag.STORE_HOST_V6
const LONG_HOST = 20
const TOPIC_BYTES_MAX = 32_767

let recordChecksum = 0

/** CRC-32 (all 32 bits) of the whole record written last. */
export function lastRecordChecksum(): number {
  return recordChecksum
}

/** Fields to fill in and reuse: numbers 0, hosts 0.0.0.0:0, topic, body and properties empty. */
export function emptyRecordFields(): RecordFields {
  const none = Buffer.alloc(0)
  return {
    topic: none,
    queueId: 0,
    queueOffset: 0,
    physicalOffset: 0,
    flag: 0,
    sysFlag: 0,
    bornTimestamp: 0,
    bornHost: Buffer.alloc(8),
    storeTimestamp: 0,
    storeHost: Buffer.alloc(8),
    reconsumeTimes: 0,
    preparedTransactionOffset: 0,
    body: none,
    bodyStart: 0,
    bodyEnd: 0,
    properties: none,
    propertiesStart: 0,
    propertiesEnd: 0,
  }
}

/**
 * Bytes the record will take.
 * @throws {ProtocolError} RECORD_INVALID for properties above 32,767 bytes, a topic above 32,767 bytes, or an empty topic
 */
export function recordSize(fields: RecordFields): number {
  const topicLength = fields.topic.length
  const propertiesLength = fields.propertiesEnd - fields.propertiesStart
  if (propertiesLength > PROPERTIES_BYTES_MAX || topicLength > TOPIC_BYTES_MAX || topicLength === 0) {
    throw new ProtocolError('RECORD_INVALID', `topic of ${topicLength} bytes, properties of ${propertiesLength} bytes`)
  }
  return (
    bodyLengthAt(fields.bornHost.length, fields.storeHost.length) +
    4 +
    (fields.bodyEnd - fields.bodyStart) +
    (topicLength > TOPIC_BYTES_MAX_V1 ? 2 : 1) +
    topicLength +
    2 +
    propertiesLength
  )
}

/**
 * Writes one record and remembers its checksum, see {@link lastRecordChecksum}.
 * @param target has room for recordSize(fields) bytes at `at`
 * @param view over the same bytes as `target`, same origin
 * @returns the record's total size
 * @throws {ProtocolError} RECORD_INVALID, see {@link recordSize}; nothing is written then
 */
export function writeRecord(target: Buffer, view: DataView, at: number, fields: RecordFields): number {
  const size = recordSize(fields)
  const { topic, bornHost, storeHost, body, bodyStart, bodyEnd } = fields
  const bodyLength = bodyEnd - bodyStart
  const wide = topic.length > TOPIC_BYTES_MAX_V1
  view.setInt32(at, size)
  view.setUint32(at + RecordAt.magic, wide ? RECORD_MAGIC_V2 : RECORD_MAGIC_V1)
  view.setInt32(at + RecordAt.queueId, fields.queueId)
  view.setInt32(at + RecordAt.flag, fields.flag)
  writeInt64(view, at + RecordAt.queueOffset, fields.queueOffset)
  writeInt64(view, at + RecordAt.physicalOffset, fields.physicalOffset)
  const hostBits =
    (bornHost.length === LONG_HOST ? SysFlag.BORN_HOST_V6 : 0) |
    (storeHost.length === LONG_HOST ? SysFlag.STORE_HOST_V6 : 0)
  view.setInt32(at + RecordAt.sysFlag, (fields.sysFlag & ~HOST_BITS) | hostBits)
  writeInt64(view, at + RecordAt.bornTimestamp, fields.bornTimestamp)
  copyShort(bornHost, target, at + RecordAt.bornHost)
  let to = at + storeTimestampAt(bornHost.length)
  writeInt64(view, to, fields.storeTimestamp)
  copyShort(storeHost, target, to + 8)
  to += 8 + storeHost.length
  view.setInt32(to, fields.reconsumeTimes)
  writeInt64(view, to + 4, fields.preparedTransactionOffset)
  view.setInt32(to + 12, bodyLength)
  to += 16
  const headEnd = to
  const bodyCrc = copyWithCrc32(body, bodyStart, bodyEnd, target, to, 0)
  view.setInt32(at + RecordAt.bodyCrc, bodyCrc & 0x7fffffff)
  to += bodyLength
  const tailStart = to
  if (wide) {
    view.setInt16(to, topic.length)
    to += 2
  } else {
    view.setUint8(to, topic.length)
    to += 1
  }
  copyShort(topic, target, to)
  to += topic.length
  view.setInt16(to, fields.propertiesEnd - fields.propertiesStart)
  to += 2
  const head = crc32Of(target, at, headEnd)
  const upToTail = bodyLength === 0 ? head : crc32Combine(head, bodyCrc, bodyLength)
  const upToProperties = crc32Of(target, tailStart, to, upToTail)
  const { properties, propertiesStart, propertiesEnd } = fields
  recordChecksum = copyWithCrc32(properties, propertiesStart, propertiesEnd, target, to, upToProperties)
  return size
}

/** Encodes one record into a buffer of its own; for cold paths and tests. */
export function encodeRecord(fields: RecordFields): Buffer {
  const target = Buffer.allocUnsafe(recordSize(fields))
  writeRecord(target, new DataView(target.buffer, target.byteOffset, target.length), 0, fields)
  return target
}

/** A byte loop beats Buffer.copy for what is shorter than a line. */
function copyShort(source: Buffer, target: Buffer, at: number): void {
  for (let from = 0, to = at; from < source.length; from++, to++) target[to] = source[from] as number
}
