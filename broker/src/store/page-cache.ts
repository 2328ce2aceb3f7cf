import { crc32Of } from '@tandemmq/protocol'
import type { DiskFile } from './disk.ts'
import { PAGE_BYTES, PAGE_CHECKSUM_AT } from './index-layout.ts'

/** 4 MiB. */
const PAGES = 512
const SLAB_PAGES = 64
const POSITIONS = 2 ** 33

/** Pages of the index read last, checksum verified; the ones not asked for since the hand came by leave first (clock). */
export class PageCache {
  readonly #slabs: Buffer[] = []
  readonly #views: DataView[] = []
  readonly #slots = new Map<number, number>()
  readonly #keys = new Float64Array(PAGES).fill(-1)
  readonly #used = new Uint8Array(PAGES)
  #hand = 0
  #count = 0
  /** Where the page found last lies. */
  bytes: Buffer = Buffer.alloc(0)
  view = new DataView(this.bytes.buffer, 0, 0)
  at = 0
  reads = 0

  /**
   * Points `bytes`, `view` and `at` to the page at `position` of `file`.
   * @param number of the file: small, unique, never used again
   * @returns false when the page is not whole
   */
  load(number: number, position: number, open: () => DiskFile): boolean {
    const key = number * POSITIONS + position
    let slot = this.#slots.get(key)
    if (slot === undefined) {
      slot = this.#takeSlot()
      this.#point(slot)
      this.reads++
      const read = open().read(this.bytes, this.at, this.at + PAGE_BYTES, position)
      const whole =
        read === PAGE_BYTES &&
        crc32Of(this.bytes, this.at, this.at + PAGE_CHECKSUM_AT) === this.view.getUint32(this.at + PAGE_CHECKSUM_AT)
      if (!whole) return false
      this.#slots.set(key, slot)
      this.#keys[slot] = key
    } else this.#point(slot)
    this.#used[slot] = 1
    return true
  }

  /** Forgets every page of the file. */
  forget(number: number): void {
    for (const [key, slot] of this.#slots) {
      if (Math.floor(key / POSITIONS) !== number) continue
      this.#slots.delete(key)
      this.#keys[slot] = -1
      this.#used[slot] = 0
    }
  }

  get bytesUsed(): number {
    return this.#slabs.length * SLAB_PAGES * PAGE_BYTES
  }

  #point(slot: number): void {
    const slab = Math.floor(slot / SLAB_PAGES)
    this.bytes = this.#slabs[slab]!
    this.view = this.#views[slab]!
    this.at = (slot % SLAB_PAGES) * PAGE_BYTES
  }

  #takeSlot(): number {
    if (this.#count < PAGES) {
      if (this.#count % SLAB_PAGES === 0) {
        const slab = Buffer.allocUnsafeSlow(SLAB_PAGES * PAGE_BYTES)
        this.#slabs.push(slab)
        this.#views.push(new DataView(slab.buffer, slab.byteOffset, slab.length))
      }
      return this.#count++
    }
    while (this.#used[this.#hand] === 1) {
      this.#used[this.#hand] = 0
      this.#hand = (this.#hand + 1) % PAGES
    }
    const slot = this.#hand
    this.#hand = (this.#hand + 1) % PAGES
    const old = this.#keys[slot]!
    if (old >= 0) this.#slots.delete(old)
    this.#keys[slot] = -1
    return slot
  }
}
