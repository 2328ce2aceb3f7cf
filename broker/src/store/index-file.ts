import { crc32Of, readInt64 } from '@tandemmq/protocol'
import type { DiskFile } from './disk.ts'
import {
  HEADER_BYTES,
  HeaderAt,
  INDEX_MAGIC,
  INDEX_VERSION,
  KEYS_PER_PAGE,
  PAGE_BYTES,
  pagesOf,
  RUN_BYTES,
  UNITS_PER_PAGE,
} from './index-layout.ts'
import type { IndexRun } from './index-layout.ts'

/** What one file of the index says about itself; its pages are read when asked for. */
export interface IndexSummary {
  /** Log offsets of the segment. */
  start: number
  end: number
  /** Log offset behind its last record; 0 when it has none. */
  used: number
  /** Store times of its first and last record, ms; 0 when it has none. */
  firstTimestamp: number
  lastTimestamp: number
  units: number
  keys: number
}

/** @returns undefined when the file is not whole, not of this version, or about another segment */
export function readSummary(file: DiskFile, start: number): (IndexSummary & { runs: number }) | undefined {
  const bytes = Buffer.alloc(HEADER_BYTES)
  if (file.read(bytes, 0, HEADER_BYTES, 0) < HEADER_BYTES) return undefined
  if (bytes.readUInt32BE(HeaderAt.checksum) !== crc32Of(bytes, 0, HeaderAt.checksum)) return undefined
  if (bytes.readUInt32BE(HeaderAt.magic) !== INDEX_MAGIC) return undefined
  if (bytes.readUInt32BE(HeaderAt.version) !== INDEX_VERSION) return undefined
  if (readInt64(bytes, HeaderAt.start) !== start) return undefined
  return {
    start,
    end: readInt64(bytes, HeaderAt.end),
    used: readInt64(bytes, HeaderAt.used),
    firstTimestamp: readInt64(bytes, HeaderAt.firstTimestamp),
    lastTimestamp: readInt64(bytes, HeaderAt.lastTimestamp),
    units: bytes.readUInt32BE(HeaderAt.units),
    runs: bytes.readUInt32BE(HeaderAt.runs),
    keys: bytes.readUInt32BE(HeaderAt.keys),
  }
}

/** @returns the runs in the order of their units; undefined when the directory is damaged */
export function readRuns(file: DiskFile, summary: IndexSummary & { runs: number }): IndexRun[] | undefined {
  const head = Buffer.alloc(HEADER_BYTES)
  file.read(head, 0, HEADER_BYTES, 0)
  const size = head.readUInt32BE(HeaderAt.directoryBytes)
  const position = keyPagesAt(summary) + pagesOf(summary.keys, KEYS_PER_PAGE) * PAGE_BYTES
  if (position + size !== file.size()) return undefined
  const bytes = Buffer.allocUnsafe(size)
  if (file.read(bytes, 0, size, position) < size) return undefined
  if (crc32Of(bytes, 0, size) !== head.readUInt32BE(HeaderAt.directoryChecksum)) return undefined
  const topics: string[] = []
  let at = 4
  for (let left = bytes.readUInt32BE(0); left > 0; left--) {
    const length = bytes.readUInt16BE(at)
    topics.push(bytes.toString('utf8', at + 2, at + 2 + length))
    at += 2 + length
  }
  const runs: IndexRun[] = []
  for (; at < size; at += RUN_BYTES) {
    runs.push({
      topic: topics[bytes.readUInt32BE(at)] as string,
      queueId: bytes.readUInt32BE(at + 4),
      firstOffset: readInt64(bytes, at + 8),
      count: bytes.readUInt32BE(at + 16),
      firstUnit: bytes.readUInt32BE(at + 20),
    })
  }
  return runs
}

export function unitPageAt(unit: number): number {
  return HEADER_BYTES + Math.floor(unit / UNITS_PER_PAGE) * PAGE_BYTES
}

export function keyPagesAt(summary: IndexSummary): number {
  return HEADER_BYTES + pagesOf(summary.units, UNITS_PER_PAGE) * PAGE_BYTES
}
