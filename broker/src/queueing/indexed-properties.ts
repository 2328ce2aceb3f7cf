import { PropertyName } from '@tandemmq/protocol'

const ENTRY_END = 2
const tags = Buffer.from(`${PropertyName.TAGS}\x01`)
const keys = Buffer.from(`${PropertyName.KEYS}\x01`)
const uniqueKey = Buffer.from(`${PropertyName.UNIQ_KEY}\x01`)

/**
 * Finds what the index needs of a property block, reading as PropertyScan does but for three names only: every record of the log passes here.
 * Positions are -1 when absent.
 */
export class IndexedProperties {
  tagsStart = -1
  tagsEnd = -1
  keysStart = -1
  keysEnd = -1
  uniqKeyStart = -1
  uniqKeyEnd = -1

  scan(bytes: Buffer, start: number, end: number): void {
    this.tagsStart = this.keysStart = this.uniqKeyStart = -1
    for (let at = start; at < end; at++) {
      const entry = at
      while (at < end && bytes[at] !== ENTRY_END) at++
      if (hasValue(bytes, entry, at, tags)) {
        this.tagsStart = entry + tags.length
        this.tagsEnd = at
      } else if (hasValue(bytes, entry, at, keys)) {
        this.keysStart = entry + keys.length
        this.keysEnd = at
      } else if (hasValue(bytes, entry, at, uniqueKey)) {
        this.uniqKeyStart = entry + uniqueKey.length
        this.uniqKeyEnd = at
      }
    }
  }
}

/** An entry without value counts as absent. */
function hasValue(bytes: Buffer, start: number, end: number, name: Buffer): boolean {
  if (bytes[start] !== name[0] || end - start <= name.length) return false
  for (let at = 1; at < name.length; at++) if (bytes[start + at] !== name[at]) return false
  return true
}
