// A file of the index tells where the records of one segment of the log are, big-endian (docs/store-format.md):
//   header 72 bytes | pages of units | pages of keys | directory
// A page is 8,192 bytes: as many whole entries as fit in 8,188, then u32 crc32 of those 8,188 bytes, so that one page can be
// read and trusted by itself.

export const INDEX_MAGIC = 0x544d5149
export const INDEX_VERSION = 1
export const HEADER_BYTES = 72
export const PAGE_BYTES = 8_192
export const PAGE_CHECKSUM_AT = PAGE_BYTES - 4

/** RocketMQ's consume queue unit: physical offset i64, size i32, tags code i64. */
export const UNIT_BYTES = 20
export const UNITS_PER_PAGE = Math.floor(PAGE_CHECKSUM_AT / UNIT_BYTES)
/** Hash of a key u32, offset of its record inside the segment u32; sorted by both. */
export const KEY_BYTES = 8
export const KEYS_PER_PAGE = Math.floor(PAGE_CHECKSUM_AT / KEY_BYTES)
/** Number of the topic u32, queue id u32, first queue offset i64, count u32, first unit u32. */
export const RUN_BYTES = 24

export const HeaderAt = {
  magic: 0,
  version: 4,
  start: 8,
  end: 16,
  firstTimestamp: 24,
  lastTimestamp: 32,
  units: 40,
  runs: 44,
  keys: 48,
  directoryBytes: 52,
  directoryChecksum: 56,
  used: 60,
  checksum: 68,
} as const

export const UnitAt = { physicalOffset: 0, size: 8, tagsCode: 12 } as const

export function pagesOf(entries: number, perPage: number): number {
  return Math.ceil(entries / perPage)
}

/** Neighbouring offsets of one queue whose units lie next to each other in a file of the index. */
export interface IndexRun {
  topic: string
  queueId: number
  firstOffset: number
  count: number
  firstUnit: number
}
