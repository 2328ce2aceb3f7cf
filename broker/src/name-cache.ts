const NAMES_MAX = 4096

interface Name {
  readonly bytes: Buffer
  readonly text: string
}

/** The one string for the UTF-8 bytes of a topic or group name, so that tables of many entries share it. */
export class NameCache {
  #slots: (Name | undefined)[] = Array.from({ length: 2 * NAMES_MAX })
  #size = 0

  text(bytes: Buffer, start: number, end: number): string {
    let hash = 0x811c9dc5 ^ (end - start)
    for (let at = start; at < end; at++) hash = Math.imul(hash ^ (bytes[at] as number), 0x01000193)
    const mask = this.#slots.length - 1
    let slot = (hash ^ (hash >>> 15)) & mask
    for (let name = this.#slots[slot]; name !== undefined; name = this.#slots[slot]) {
      if (same(name.bytes, bytes, start, end)) return name.text
      slot = (slot + 1) & mask
    }
    const text = bytes.toString('utf8', start, end)
    // Names come from strangers: rather forget them all than grow without bound.
    if (++this.#size > NAMES_MAX) {
      this.#slots.fill(undefined)
      this.#size = 0
      return text
    }
    this.#slots[slot] = { bytes: Buffer.from(bytes.subarray(start, end)), text }
    return text
  }
}

function same(name: Buffer, bytes: Buffer, start: number, end: number): boolean {
  if (name.length !== end - start) return false
  for (let i = 0; i < name.length; i++) if (name[i] !== bytes[start + i]) return false
  return true
}
