import { crc32 } from 'node:zlib'
import { messageOf } from './store-error.ts'

// One entry of the state journal, big-endian (docs/store-format.md):
//   length u32 = bytes of text | crc32 u32 of length and text | text = JSON of [table, entry]
// The table '' is the journal's own: {version, generation} first, {synced: n} = bytes [0, n) were durable when this was written.

export const ENTRY_HEAD_BYTES = 8
export const ENTRY_BYTES_MAX = 16 << 20
const OWN_TABLE = ''

/** What a journal file holds, and where it stops being one. */
export interface JournalContent {
  entries: [table: string, entry: unknown][]
  /** Bytes of valid entries from the start. */
  end: number
  /** Bytes of the snapshot the file began with. */
  snapshotEnd: number
  /** Bytes [0, synced) were durable when the file last said so. */
  synced: number
  /** Bytes [end, damagedUntil) were durable once and are not valid now; equal to `end` when only a torn tail was cut. */
  damagedUntil: number
  /** Valid entries behind the damage, in order. */
  salvaged: [table: string, entry: unknown][]
}

export function encodeEntry(table: string, entry: unknown): Buffer {
  const text = JSON.stringify([table, entry])
  const bytes = Buffer.allocUnsafe(ENTRY_HEAD_BYTES + Buffer.byteLength(text))
  bytes.writeUInt32BE(bytes.length - ENTRY_HEAD_BYTES, 0)
  bytes.write(text, ENTRY_HEAD_BYTES)
  bytes.writeUInt32BE(checksumAt(bytes, 0, bytes.length - ENTRY_HEAD_BYTES), 4)
  return bytes
}

export function syncedEntry(synced: number): Buffer {
  return encodeEntry(OWN_TABLE, { synced })
}

export function headerEntry(generation: number): Buffer {
  return encodeEntry(OWN_TABLE, { version: 1, generation })
}

export function decodeJournal(bytes: Buffer): JournalContent {
  const content: JournalContent = { entries: [], end: 0, snapshotEnd: 0, synced: 0, damagedUntil: 0, salvaged: [] }
  for (let size = sizeAt(bytes, 0); size > 0; size = sizeAt(bytes, content.end)) {
    const [table, entry] = parse(bytes, content.end, size)
    content.end += size
    if (table !== OWN_TABLE) {
      content.entries.push([table, entry])
      continue
    }
    content.synced = Math.max(content.synced, syncedOf(entry))
    if (content.snapshotEnd === 0 && syncedOf(entry) > 0) content.snapshotEnd = content.end
  }
  content.damagedUntil = content.end
  searchBehind(bytes, content)
  return content
}

/** Entries behind an invalid place have no known position: each looks like length, checksum, `["`. */
function searchBehind(bytes: Buffer, content: JournalContent): void {
  for (let at = bytes.indexOf('["', content.end); at >= 0; ) {
    const start = at - ENTRY_HEAD_BYTES
    const size = start < content.end ? 0 : sizeAt(bytes, start)
    if (size > 0) {
      const [table, entry] = parse(bytes, start, size)
      if (table === OWN_TABLE) content.damagedUntil = Math.max(content.damagedUntil, syncedOf(entry))
      else content.salvaged.push([table, entry])
    }
    at = bytes.indexOf('["', size > 0 ? start + size : at + 1)
  }
}

function syncedOf(entry: unknown): number {
  const synced = (entry as { synced?: unknown } | null)?.synced
  return typeof synced === 'number' ? synced : 0
}

/** @returns bytes of the valid entry at `at`, 0 when there is none */
function sizeAt(bytes: Buffer, at: number): number {
  if (at + ENTRY_HEAD_BYTES > bytes.length) return 0
  const length = bytes.readUInt32BE(at)
  // Length 0 is refused because crc32 of zeros is what a hole of zeros would have to match by chance.
  if (length === 0 || length > ENTRY_BYTES_MAX || at + ENTRY_HEAD_BYTES + length > bytes.length) return 0
  return checksumAt(bytes, at, length) === bytes.readUInt32BE(at + 4) ? ENTRY_HEAD_BYTES + length : 0
}

function checksumAt(bytes: Buffer, at: number, length: number): number {
  const ofLength = crc32(bytes.subarray(at, at + 4))
  return crc32(bytes.subarray(at + ENTRY_HEAD_BYTES, at + ENTRY_HEAD_BYTES + length), ofLength)
}

function parse(bytes: Buffer, at: number, size: number): [string, unknown] {
  try {
    const pair: unknown = JSON.parse(bytes.toString('utf8', at + ENTRY_HEAD_BYTES, at + size))
    if (Array.isArray(pair) && typeof pair[0] === 'string') return [pair[0], pair[1]]
  } catch (error) {
    throw new Error(`journal entry at byte ${at} has a valid checksum and no valid text: ${messageOf(error)}`, {
      cause: error,
    })
  }
  throw new Error(`journal entry at byte ${at} is not a pair of table and entry`)
}
