/** Entries of one block; a queue holds whole blocks, so this bounds what a nearly empty queue wastes (512 bytes). */
export const BLOCK_ENTRIES = 32
const BLOCK_SHIFT = 5
const SLAB_BLOCK_SHIFT = 11
const SLAB_ENTRIES = BLOCK_ENTRIES << SLAB_BLOCK_SHIFT
const SLAB_ENTRY_MASK = SLAB_ENTRIES - 1
const SLAB_ENTRY_SHIFT = BLOCK_SHIFT + SLAB_BLOCK_SHIFT

/** Numbers of an entry: physical offset low and high, size, tags code. */
const ENTRY_SHIFT = 2
const SIZE_AT = 2
const TAGS_CODE_AT = 3

/**
 * The index units of all queues (RocketMQ's 20 bytes: physical offset, size, tags code) in shared arrays of 1 MiB, so neither a
 * queue nor an entry costs a file or an object: 16 bytes each, in one line of the processor's cache. An entry is addressed by block * 32 + slot.
 */
export class QueueIndex {
  readonly #slabs: Int32Array[] = []
  #blocks = 0
  readonly #free: number[] = []

  /** @returns a block whose 32 entries are vacant (size 0) */
  takeBlock(): number {
    const freed = this.#free.pop()
    const block = freed ?? this.#blocks++
    const first = block << BLOCK_SHIFT
    const slab = first >>> SLAB_ENTRY_SHIFT
    if (slab === this.#slabs.length) this.#slabs.push(new Int32Array(SLAB_ENTRIES << ENTRY_SHIFT))
    if (freed !== undefined) {
      const at = (first & SLAB_ENTRY_MASK) << ENTRY_SHIFT
      this.#slabs[slab]!.fill(0, at, at + (BLOCK_ENTRIES << ENTRY_SHIFT))
    }
    return block
  }

  freeBlock(block: number): void {
    this.#free.push(block)
  }

  put(entry: number, physicalOffset: number, size: number, tagsCode: number): void {
    const slab = this.#slabs[entry >>> SLAB_ENTRY_SHIFT]!
    const at = (entry & SLAB_ENTRY_MASK) << ENTRY_SHIFT
    slab[at] = physicalOffset | 0
    slab[at + 1] = (physicalOffset / 0x1_0000_0000) | 0
    slab[at + SIZE_AT] = size
    slab[at + TAGS_CODE_AT] = tagsCode
  }

  physicalOffset(entry: number): number {
    const slab = this.#slabs[entry >>> SLAB_ENTRY_SHIFT]!
    const at = (entry & SLAB_ENTRY_MASK) << ENTRY_SHIFT
    return (slab[at]! >>> 0) + slab[at + 1]! * 0x1_0000_0000
  }

  size(entry: number): number {
    return this.#slabs[entry >>> SLAB_ENTRY_SHIFT]![((entry & SLAB_ENTRY_MASK) << ENTRY_SHIFT) + SIZE_AT]!
  }

  tagsCode(entry: number): number {
    return this.#slabs[entry >>> SLAB_ENTRY_SHIFT]![((entry & SLAB_ENTRY_MASK) << ENTRY_SHIFT) + TAGS_CODE_AT]!
  }

  /** Bytes of the arrays. */
  get bytes(): number {
    return this.#slabs.length * (SLAB_ENTRIES << ENTRY_SHIFT) * 4
  }

  get blocksInUse(): number {
    return this.#blocks - this.#free.length
  }
}
