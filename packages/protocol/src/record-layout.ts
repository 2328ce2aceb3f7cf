// Stored record, big-endian (MessageDecoder.java, MessageExtEncoder.java, remoting.md 3.3). Offsets are for IPv4 hosts; an IPv6
// host makes everything behind it 12 bytes later.

/** Position of each fixed field, in bytes from the record's start. */
export const RecordAt = {
  totalSize: 0,
  magic: 4,
  bodyCrc: 8,
  queueId: 12,
  flag: 16,
  queueOffset: 20,
  physicalOffset: 28,
  sysFlag: 36,
  bornTimestamp: 40,
  bornHost: 48,
  /** With an IPv4 born host, as all below. */
  storeTimestamp: 56,
  /** With IPv4 hosts, as all below. */
  storeHost: 64,
  reconsumeTimes: 72,
  preparedTransactionOffset: 76,
  bodyLength: 84,
  body: 88,
} as const

/** Topic length in one byte. */
export const RECORD_MAGIC_V1 = 0xdaa320a7
/** Topic length in two bytes: topics longer than 127 bytes. */
export const RECORD_MAGIC_V2 = 0xdaa320ab
/** Fills the end of a log segment; total size, magic, then anything. */
export const BLANK_MAGIC = 0xcbd43194

/** Longest topic, in bytes, a V1 record can hold. */
export const TOPIC_BYTES_MAX_V1 = 127
/** Longest property string in bytes: its length is an i16. */
export const PROPERTIES_BYTES_MAX = 32_767

const SHORT_HOST = 8

/** Position of the body-length field, for host fields of these lengths (8 or 20). */
export function bodyLengthAt(bornBytes: number, storeBytes: number): number {
  return RecordAt.bodyLength + bornBytes - SHORT_HOST + storeBytes - SHORT_HOST
}

/** Position of the store timestamp, for a born host field of this length (8 or 20). */
export function storeTimestampAt(bornBytes: number): number {
  return RecordAt.storeTimestamp + bornBytes - SHORT_HOST
}

/** Length of the born host field: address and 4-byte port. */
export function bornHostBytes(sysFlag: number): number {
  return sysFlag & 0x10 ? 20 : 8
}

/** Length of the store host field: address and 4-byte port. */
export function storeHostBytes(sysFlag: number): number {
  return sysFlag & 0x20 ? 20 : 8
}

/** i32 at a position; four loads are as fast as a DataView and need none. */
export function readInt32(bytes: Buffer, at: number): number {
  return (
    ((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  )
}

/** i64 at a position as a double: exact below 2^53. */
export function readInt64(bytes: Buffer, at: number): number {
  return readInt32(bytes, at) * 0x100000000 + (readInt32(bytes, at + 4) >>> 0)
}

/** Writes a safe integer as i64. */
export function writeInt64(view: DataView, at: number, value: number): void {
  view.setInt32(at, Math.floor(value / 0x100000000))
  view.setInt32(at + 4, value | 0)
}
