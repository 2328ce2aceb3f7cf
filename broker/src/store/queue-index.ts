/** Entries of one block; a queue holds whole blocks, so this bounds what a nearly empty queue wastes (512 bytes). */
export const BLOCK_ENTRIES = 32
const BLOCK_SHIFT = 5
const SLAB_BLOCK_SHIFT = 11
const SLAB_ENTRIES = BLOCK_ENTRIES << SLAB_BLOCK_SHIFT
const SLAB_ENTRY_MASK = SLAB_ENTRIES - 1
const SLAB_ENTRY_SHIFT = BLOCK_SHIFT + SLAB_BLOCK_SHIFT

/**
 * The index units of all queues (RocketMQ's 20 bytes: physical offset, size, tags code) in shared typed arrays of 1 MiB, so
 * neither a queue nor an entry costs a file or an object: 16 bytes each. An entry is addressed by block * 32 + slot.
 */
export class QueueIndex {
  readonly #physicalOffsets: Float64Array[] = []
  readonly #sizes: Int32Array[] = []
  readonly #tagsCodes: Int32Array[] = []
  #blocks = 0
  readonly #free: number[] = []

  /** @returns a block whose 32 entries are vacant (size 0) */
  takeBlock(): number {
    const freed = this.#free.pop()
    const block = freed ?? this.#blocks++
    const first = block << BLOCK_SHIFT
    const slab = first >>> SLAB_ENTRY_SHIFT
    if (slab === this.#sizes.length) {
      this.#physicalOffsets.push(new Float64Array(SLAB_ENTRIES))
      this.#sizes.push(new Int32Array(SLAB_ENTRIES))
      this.#tagsCodes.push(new Int32Array(SLAB_ENTRIES))
    }
    if (freed !== undefined) {
      const slot = first & SLAB_ENTRY_MASK
      this.#sizes[slab]!.fill(0, slot, slot + BLOCK_ENTRIES)
    }
    return block
  }

  freeBlock(block: number): void {
    this.#free.push(block)
  }

  put(entry: number, physicalOffset: number, size: number, tagsCode: number): void {
    const slab = entry >>> SLAB_ENTRY_SHIFT
    const slot = entry & SLAB_ENTRY_MASK
    this.#physicalOffsets[slab]![slot] = physicalOffset
    this.#sizes[slab]![slot] = size
    this.#tagsCodes[slab]![slot] = tagsCode
  }

  physicalOffset(entry: number): number {
    return this.#physicalOffsets[entry >>> SLAB_ENTRY_SHIFT]![entry & SLAB_ENTRY_MASK]!
  }

  size(entry: number): number {
    return this.#sizes[entry >>> SLAB_ENTRY_SHIFT]![entry & SLAB_ENTRY_MASK]!
  }

  tagsCode(entry: number): number {
    return this.#tagsCodes[entry >>> SLAB_ENTRY_SHIFT]![entry & SLAB_ENTRY_MASK]!
  }

  /** Bytes of the arrays. */
  get bytes(): number {
    return this.#sizes.length * SLAB_ENTRIES * 16
  }

  get blocksInUse(): number {
    return this.#blocks - this.#free.length
  }
}
