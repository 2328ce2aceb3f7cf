import { HashChains } from '../hash-chains.ts'
import type { SnapshotReader, SnapshotWriter } from '../snapshot.ts'

const FIRST_CAPACITY = 1024

/**
 * Outcomes of the most recently settled half messages, so that a repeated or late END hears what holds. Bounded by count
 * and by age; ring and table as in the dedup window, 33 bytes an entry.
 */
export class SettledWindow {
  readonly #entriesMax: number
  readonly #windowMs: number
  #table = new HashChains()
  #offsets = new Float64Array(FIRST_CAPACITY)
  #times = new Float64Array(FIRST_CAPACITY)
  #committed = new Uint8Array(FIRST_CAPACITY)
  #oldest = 0
  #size = 0

  constructor(options: { entriesMax: number; windowMs: number }) {
    this.#entriesMax = options.entriesMax
    this.#windowMs = options.windowMs
  }

  get size(): number {
    return this.#size
  }

  /** @param settledAt store time of the settling record, ms since 1970 */
  add(physicalOffset: number, committed: boolean, settledAt: number): void {
    while (this.#size > 0 && settledAt - (this.#times[this.#oldest] as number) > this.#windowMs) this.#dropOldest()
    if (this.#size === this.#entriesMax) this.#dropOldest()
    if (this.#size === this.#offsets.length) this.#grow()
    let entry = this.#oldest + this.#size
    if (entry >= this.#offsets.length) entry -= this.#offsets.length
    this.#size++
    this.#offsets[entry] = physicalOffset
    this.#times[entry] = settledAt
    this.#committed[entry] = committed ? 1 : 0
    this.#table.add(hashOf(physicalOffset), entry)
  }

  /** `undefined`: not settled within the window. */
  find(physicalOffset: number): 'committed' | 'rolledBack' | undefined {
    const table = this.#table
    for (let entry = table.first(hashOf(physicalOffset)); entry >= 0; entry = table.next()) {
      if (this.#offsets[entry] === physicalOffset) return this.#committed[entry] === 1 ? 'committed' : 'rolledBack'
    }
    return undefined
  }

  /** Outcomes, oldest first. */
  save(writer: SnapshotWriter): void {
    const offsets = new Float64Array(this.#size)
    const times = new Float64Array(this.#size)
    const committed = new Uint8Array(this.#size)
    for (let i = 0; i < this.#size; i++) {
      const entry = (this.#oldest + i) % this.#offsets.length
      offsets[i] = this.#offsets[entry] as number
      times[i] = this.#times[entry] as number
      committed[i] = this.#committed[entry] as number
    }
    writer.number(this.#size).column(offsets).column(times).column(committed)
  }

  load(reader: SnapshotReader): void {
    const size = reader.number()
    const offsets = reader.float64(size)
    const times = reader.float64(size)
    const committed = reader.uint8(size)
    for (let i = 0; i < size; i++) this.add(offsets[i] as number, committed[i] === 1, times[i] as number)
  }

  #dropOldest(): void {
    this.#table.remove(this.#oldest)
    this.#oldest = this.#oldest + 1 === this.#offsets.length ? 0 : this.#oldest + 1
    this.#size--
  }

  #grow(): void {
    const capacity = this.#offsets.length
    const offsets = new Float64Array(capacity * 2)
    const times = new Float64Array(capacity * 2)
    const committed = new Uint8Array(capacity * 2)
    const table = new HashChains()
    for (let i = 0; i < this.#size; i++) {
      const old = (this.#oldest + i) % capacity
      offsets[i] = this.#offsets[old] as number
      times[i] = this.#times[old] as number
      committed[i] = this.#committed[old] as number
      table.add(this.#table.hashOf(old), i)
    }
    this.#table = table
    this.#offsets = offsets
    this.#times = times
    this.#committed = committed
    this.#oldest = 0
  }
}

/** Physical offsets are multiples of nothing in particular; one round of mixing spreads their low bits. */
function hashOf(physicalOffset: number): number {
  let hash = (physicalOffset | 0) ^ Math.imul((physicalOffset / 0x1_0000_0000) | 0, 0x9e3779b1)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  return hash ^ (hash >>> 13)
}
