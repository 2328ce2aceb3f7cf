import { keyHash } from '../index-key.ts'
import type { IndexedProperties } from './indexed-properties.ts'

const SPACE = 0x20

/**
 * The hash of each key a message can be found by: UNIQ_KEY and the words of KEYS.
 * @param scan over the properties in `bytes`
 */
export function forEachKey(
  bytes: Buffer,
  topicStart: number,
  topicEnd: number,
  scan: IndexedProperties,
  add: (hash: number) => void,
): void {
  if (scan.uniqKeyStart >= 0) add(keyHash(bytes, topicStart, topicEnd, bytes, scan.uniqKeyStart, scan.uniqKeyEnd))
  for (let start = scan.keysStart; start >= 0 && start < scan.keysEnd; ) {
    let end = start
    while (end < scan.keysEnd && bytes[end] !== SPACE) end++
    if (end > start) add(keyHash(bytes, topicStart, topicEnd, bytes, start, end))
    start = end + 1
  }
}
