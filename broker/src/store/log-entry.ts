// Everything the commit log holds, big-endian (docs/store-format.md):
//   record  RocketMQ's stored message (protocol/record-layout.ts), then u32 crc32 of it
//   marker  36 bytes below, then u32 crc32 of them; not a message, known to the store alone
//   blank   totalSize i32 = bytes left in the segment, magic BLANK (RocketMQ's end of file); no checksum, both words are checked
// A marker says how far the log was durable when it was written. Recovery needs it to tell a hole that a power cut left in
// bytes nobody was promised from damage to bytes somebody was.

/** crc32 behind each record and marker. */
export const CHECKSUM_BYTES = 4
export const BLANK_BYTES = 8
export const MARKER_BYTES = 36
/** Smallest record: v1 layout, IPv4 hosts, a topic of one byte, empty body and properties. */
export const RECORD_BYTES_MIN = 92

export const MARKER_MAGIC = 0xdaa3d15c

/** Positions inside an entry. Records and markers keep their own position at the same place. */
export const EntryAt = { totalSize: 0, magic: 4, physicalOffset: 28, markerDurable: 8, markerTimestamp: 16 } as const

/** Digits enough for any 64-bit offset: RocketMQ's file names. */
export function offsetName(offset: number): string {
  return String(offset).padStart(20, '0')
}

/** First offset named by a file, or -1 for any other file. */
export function offsetOfName(name: string): number {
  return /^\d{20}$/.test(name) ? Number(name) : -1
}
