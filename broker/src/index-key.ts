import { crc32Of, type PropertyScan, tagHash } from '@tandemmq/protocol'
import type { IndexEntry } from './index-entry.ts'

const SPACE = 0x20

/** Under which number a key of a topic is in the index; what matches is verified against the record. */
export function keyHash(
  topic: Buffer,
  topicStart: number,
  topicEnd: number,
  key: Buffer,
  start: number,
  end: number,
): number {
  return crc32Of(key, start, end, crc32Of(topic, topicStart, topicEnd)) >>> 0
}

/**
 * What the index holds about a message: RocketMQ's tags code, and the hash of each key it can be found by, which are its
 * UNIQ_KEY and the words of KEYS.
 * @param topic holds the name in [topicStart, topicEnd)
 * @param scan over the message's properties
 */
export function describeMessage(
  entry: IndexEntry,
  topic: Buffer,
  topicStart: number,
  topicEnd: number,
  scan: PropertyScan,
): void {
  const { bytes, tagsStart, uniqKeyStart, keysStart } = scan
  entry.begin(tagsStart < 0 ? 0 : tagHash(bytes, tagsStart, scan.tagsEnd))
  if (uniqKeyStart >= 0) entry.addKey(keyHash(topic, topicStart, topicEnd, bytes, uniqKeyStart, scan.uniqKeyEnd))
  if (keysStart < 0) return
  const { keysEnd } = scan
  for (let start = keysStart; start < keysEnd; ) {
    let end = start
    while (end < keysEnd && bytes[end] !== SPACE) end++
    if (end > start) entry.addKey(keyHash(topic, topicStart, topicEnd, bytes, start, end))
    start = end + 1
  }
}
