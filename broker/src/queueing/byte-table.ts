const FNV_PRIME = 0x01000193
const FNV_START = 0x811c9dc5 | 0

interface Entry<T> {
  readonly hash: number
  readonly key: Buffer
  readonly value: T
}

/**
 * From the UTF-8 bytes of a name to its object without making a string: hot requests name their topic and group in
 * every frame. Open addressing, linear probing, at most half full.
 */
export class ByteTable<T> {
  #slots = emptySlots<T>(16)
  #size = 0

  get size(): number {
    return this.#size
  }

  find(bytes: Buffer, start: number, end: number): T | undefined {
    const slots = this.#slots
    const mask = slots.length - 1
    const hash = hashOf(bytes, start, end)
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const entry = slots[at]
      if (entry === undefined) return undefined
      if (entry.hash === hash && sameBytes(entry.key, bytes, start, end)) return entry.value
    }
  }

  /** Replaces the value when the key is there already. `key` is kept, not copied. */
  set(key: Buffer, value: T): void {
    if ((this.#size + 1) * 2 > this.#slots.length) this.#rebuild(this.#slots.length * 2, undefined)
    const entry = { hash: hashOf(key, 0, key.length), key, value }
    if (this.#put(this.#slots, entry)) this.#size++
  }

  /** Rare (a topic or group is deleted), so the table is rebuilt instead of carrying tombstones. */
  delete(key: Buffer): void {
    this.#rebuild(this.#slots.length, key)
  }

  clear(): void {
    this.#slots = emptySlots<T>(16)
    this.#size = 0
  }

  #put(slots: (Entry<T> | undefined)[], entry: Entry<T>): boolean {
    const mask = slots.length - 1
    for (let at = entry.hash & mask; ; at = (at + 1) & mask) {
      const present = slots[at]
      const same =
        present !== undefined && present.hash === entry.hash && sameBytes(present.key, entry.key, 0, entry.key.length)
      if (present !== undefined && !same) continue
      slots[at] = entry
      return present === undefined
    }
  }

  #rebuild(capacity: number, without: Buffer | undefined): void {
    const slots = emptySlots<T>(capacity)
    let size = 0
    for (const entry of this.#slots) {
      if (entry === undefined || (without !== undefined && entry.key.equals(without))) continue
      this.#put(slots, entry)
      size++
    }
    this.#slots = slots
    this.#size = size
  }
}

const emptySlots = <T>(length: number): (Entry<T> | undefined)[] => Array.from({ length }, () => undefined)

function hashOf(bytes: Buffer, start: number, end: number): number {
  let hash = FNV_START
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ (bytes[at] as number), FNV_PRIME)
  // FNV leaves the low bits weak for names that differ in their last letter only; the mask takes just those.
  return hash ^ (hash >>> 15)
}

function sameBytes(key: Buffer, bytes: Buffer, start: number, end: number): boolean {
  if (key.length !== end - start) return false
  for (let at = 0; at < key.length; at++) if (key[at] !== bytes[start + at]) return false
  return true
}
