import { ByteTable } from '../byte-table.ts'

const NAME_END = 1
const ENTRY_END = 2

/**
 * Where in a record's property bytes the values lie that an expression asks for. Reused for every message, one pass, no allocation; reads as
 * decodeProperties does: the last of a repeated name counts, an entry without value is absent.
 */
export class PropertySlots {
  bytes: Buffer = Buffer.alloc(0)
  /** By slot; -1 when absent. */
  readonly starts: Int32Array
  readonly ends: Int32Array
  readonly #slotOf = new ByteTable<number>()
  /** Bit n: a name of n bytes is asked for (bit 31: of 31 or more). */
  #lengths = 0

  /** @param names a name's position is its slot */
  constructor(names: readonly string[]) {
    this.starts = new Int32Array(names.length)
    this.ends = new Int32Array(names.length)
    for (const [slot, name] of names.entries()) {
      const bytes = Buffer.from(name)
      this.#slotOf.set(bytes, slot)
      this.#lengths |= lengthBit(bytes.length)
    }
  }

  read(bytes: Buffer, start: number, end: number): void {
    this.bytes = bytes
    this.starts.fill(-1)
    let at = start
    while (at < end) {
      const nameStart = at
      while (at < end && bytes[at] !== NAME_END && bytes[at] !== ENTRY_END) at++
      if (at >= end) return
      const nameEnd = at++
      if (bytes[nameEnd] === ENTRY_END) continue
      const valueStart = at
      while (at < end && bytes[at] !== ENTRY_END) at++
      if (at > valueStart && (this.#lengths & lengthBit(nameEnd - nameStart)) !== 0) {
        const slot = this.#slotOf.find(bytes, nameStart, nameEnd)
        if (slot !== undefined) {
          this.starts[slot] = valueStart
          this.ends[slot] = at
        }
      }
      at++
    }
  }

  has(slot: number): boolean {
    return (this.starts[slot] as number) >= 0
  }
}

const lengthBit = (length: number): number => 1 << (length < 31 ? length : 31)
