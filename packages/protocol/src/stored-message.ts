import { ProtocolError } from './errors.ts'
import { hostText } from './host.ts'
import { offsetMessageId } from './message-id.ts'
import { decodeProperties } from './properties.ts'
import { RecordAt } from './record-layout.ts'
import { RecordView } from './record-view.ts'

/** One stored record with everything decoded; for clients and cold paths. */
export interface StoredMessage {
  /** Bytes of the record. */
  totalSize: number
  /** RECORD_MAGIC_V1 or RECORD_MAGIC_V2. */
  magic: number
  /** CRC-32 of the stored body without its highest bit. */
  bodyCrc: number
  queueId: number
  flag: number
  queueOffset: bigint
  physicalOffset: bigint
  sysFlag: number
  /** ms */
  bornTimestamp: number
  /** 'ip:port'; an IPv6 address in brackets */
  bornHost: string
  /** ms */
  storeTimestamp: number
  storeHost: string
  reconsumeTimes: number
  preparedTransactionOffset: bigint
  /** As stored, see decompressBody. Shares the memory it was decoded from. */
  body: Buffer
  topic: string
  /** Null prototype. */
  properties: Record<string, string>
  offsetMessageId: string
}

const view = new RecordView()

/**
 * Decodes the record that begins at `start`; bytes behind it are ignored. The body's CRC is not checked (RecordView.validate does).
 * @throws {ProtocolError} RECORD_INVALID
 */
export function decodeRecord(bytes: Buffer, start = 0): StoredMessage {
  if (!view.at(bytes, start))
    throw new ProtocolError('RECORD_INVALID', `no whole record at ${start} of ${bytes.length} bytes`)
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const physicalOffset = data.getBigInt64(start + RecordAt.physicalOffset)
  return {
    totalSize: view.size,
    magic: data.getUint32(start + RecordAt.magic),
    bodyCrc: view.bodyCrc,
    queueId: view.queueId,
    flag: view.flag,
    queueOffset: data.getBigInt64(start + RecordAt.queueOffset),
    physicalOffset,
    sysFlag: view.sysFlag,
    bornTimestamp: view.bornTimestamp,
    bornHost: hostText(bytes, view.bornHostStart, view.bornHostEnd),
    storeTimestamp: view.storeTimestamp,
    storeHost: hostText(bytes, view.storeHostStart, view.storeHostEnd),
    reconsumeTimes: view.reconsumeTimes,
    preparedTransactionOffset: data.getBigInt64(view.storeHostEnd + 4),
    body: bytes.subarray(view.bodyStart, view.bodyEnd),
    topic: view.topic(),
    properties: decodeProperties(bytes, view.propertiesStart, view.propertiesEnd),
    offsetMessageId: offsetMessageId(bytes.subarray(view.storeHostStart, view.storeHostEnd), physicalOffset),
  }
}

/**
 * Decodes records that follow each other without gaps, as in the answer to a pull.
 * @throws {ProtocolError} RECORD_INVALID when anything but whole records is found: a client that goes on would skip messages
 */
export function decodeRecords(bytes: Buffer): StoredMessage[] {
  const messages: StoredMessage[] = []
  for (let at = 0; at < bytes.length; ) {
    const message = decodeRecord(bytes, at)
    messages.push(message)
    at += message.totalSize
  }
  return messages
}
