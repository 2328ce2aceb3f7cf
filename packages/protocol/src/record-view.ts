import { crc32Of } from './crc32.ts'
import {
  bodyLengthAt,
  bornHostBytes,
  readInt32,
  readInt64,
  RECORD_MAGIC_V1,
  RECORD_MAGIC_V2,
  RecordAt,
  storeHostBytes,
  storeTimestampAt,
} from './record-layout.ts'

const EMPTY = Buffer.alloc(0)
const MAGIC_V1 = RECORD_MAGIC_V1 | 0
const MAGIC_V2 = RECORD_MAGIC_V2 | 0

/** One stored record, read where it lies. Reused; fixed fields are numbers, exact below 2^53. */
export class RecordView {
  bytes: Buffer = EMPTY
  /** Where the record begins in {@link bytes}; every other position is in {@link bytes} too. */
  start = 0
  size = 0
  sysFlag = 0
  bornHostStart = 0
  bornHostEnd = 0
  storeHostStart = 0
  storeHostEnd = 0
  bodyStart = 0
  bodyEnd = 0
  topicStart = 0
  topicEnd = 0
  propertiesStart = 0
  propertiesEnd = 0
  #storeTimestampAt = 0

  /**
   * Looks at the record that begins at `start`.
   * @returns false when no whole record lies there: unknown magic, or lengths that do not add up to its size. The view is then useless.
   */
  at(bytes: Buffer, start: number): boolean {
    this.bytes = bytes
    this.start = start
    this.size = 0
    if (start < 0 || start + RecordAt.body > bytes.length) return false
    const size = readInt32(bytes, start)
    const end = start + size
    if (size < RecordAt.body || end > bytes.length) return false
    const magic = readInt32(bytes, start + RecordAt.magic)
    if (magic !== MAGIC_V1 && magic !== MAGIC_V2) return false
    const sysFlag = readInt32(bytes, start + RecordAt.sysFlag)
    const bornBytes = bornHostBytes(sysFlag)
    const storeBytes = storeHostBytes(sysFlag)
    const bodyStart = start + bodyLengthAt(bornBytes, storeBytes) + 4
    if (bodyStart > end) return false
    const bodyLength = readInt32(bytes, bodyStart - 4)
    const lengthBytes = magic === MAGIC_V1 ? 1 : 2
    // Nothing below can pass 2^31: both sides are positive i32 values.
    if (bodyLength < 0 || bodyLength > end - bodyStart - lengthBytes) return false
    const bodyEnd = bodyStart + bodyLength
    const topicStart = bodyEnd + lengthBytes
    const topicLength =
      magic === MAGIC_V1
        ? (bytes[bodyEnd] as number)
        : ((bytes[bodyEnd] as number) << 8) | (bytes[bodyEnd + 1] as number)
    const topicEnd = topicStart + topicLength
    const propertiesStart = topicEnd + 2
    if (propertiesStart > end) return false
    const propertiesLength = ((bytes[topicEnd] as number) << 8) | (bytes[topicEnd + 1] as number)
    if (propertiesStart + propertiesLength !== end) return false
    this.size = size
    this.sysFlag = sysFlag
    this.bornHostStart = start + RecordAt.bornHost
    this.bornHostEnd = this.bornHostStart + bornBytes
    this.#storeTimestampAt = start + storeTimestampAt(bornBytes)
    this.storeHostStart = this.#storeTimestampAt + 8
    this.storeHostEnd = this.storeHostStart + storeBytes
    this.bodyStart = bodyStart
    this.bodyEnd = bodyEnd
    this.topicStart = topicStart
    this.topicEnd = topicEnd
    this.propertiesStart = propertiesStart
    this.propertiesEnd = end
    return true
  }

  /** As stored: the CRC-32 of the body without its highest bit. */
  get bodyCrc(): number {
    return readInt32(this.bytes, this.start + RecordAt.bodyCrc)
  }

  get queueId(): number {
    return readInt32(this.bytes, this.start + RecordAt.queueId)
  }

  get flag(): number {
    return readInt32(this.bytes, this.start + RecordAt.flag)
  }

  get queueOffset(): number {
    return readInt64(this.bytes, this.start + RecordAt.queueOffset)
  }

  get physicalOffset(): number {
    return readInt64(this.bytes, this.start + RecordAt.physicalOffset)
  }

  get bornTimestamp(): number {
    return readInt64(this.bytes, this.start + RecordAt.bornTimestamp)
  }

  get storeTimestamp(): number {
    return readInt64(this.bytes, this.#storeTimestampAt)
  }

  get reconsumeTimes(): number {
    return readInt32(this.bytes, this.storeHostEnd)
  }

  get preparedTransactionOffset(): number {
    return readInt64(this.bytes, this.storeHostEnd + 4)
  }

  topic(): string {
    return this.bytes.toString('utf8', this.topicStart, this.topicEnd)
  }

  /** The body is the one that was stored: its CRC-32 matches. Layout was checked by {@link at}. */
  validate(): boolean {
    if (this.size === 0) return false
    return (crc32Of(this.bytes, this.bodyStart, this.bodyEnd) & 0x7fffffff) === this.bodyCrc
  }

  /** CRC-32 of the whole record, as lastRecordChecksum() gave when it was written. */
  checksum(): number {
    return crc32Of(this.bytes, this.start, this.start + this.size)
  }
}
