import type { SnapshotReader, SnapshotWriter } from '../snapshot.ts'
import { KeyRing } from './key-ring.ts'

const MINUTE_MS = 60_000
/** Keys are kept by the lengths of their windows, so that a topic with a week does not keep those of all others for a week. */
const LIVES_MS = [1, 10, 60, 360, 1_440, 10_080].map((minutes) => minutes * MINUTE_MS)

/**
 * The keys of one kind, in one ring for each length of window rounded up to 1 min, 10 min, 1 h, 6 h, 1 d, 7 d or the broker's own
 * length. A topic whose window changes finds its keys in the ring they were put in.
 */
export class KeyRings {
  readonly entriesMax: number
  readonly #lives: readonly number[]
  /** Those with entries once, by ascending life. */
  #rings: KeyRing[] = []
  #lastMs = -1
  #last: KeyRing | undefined

  constructor(windowMs: number, entriesMax: number) {
    this.entriesMax = entriesMax
    this.#lives = [...new Set([...LIVES_MS, windowMs])].filter((life) => life > 0).toSorted((a, b) => a - b)
  }

  get size(): number {
    let size = 0
    for (const ring of this.#rings) size += ring.size
    return size
  }

  get bytes(): number {
    return this.#rings.reduce((sum, ring) => sum + ring.bytes, 0)
  }

  get oldestOffset(): number {
    return Math.min(Number.POSITIVE_INFINITY, ...this.#rings.map((ring) => ring.oldestOffset))
  }

  /** Store time from which on none has left early, seconds since 1970. */
  get reachesBackTo(): number {
    return Math.max(0, ...this.#rings.map((ring) => ring.oldestSecond))
  }

  get rings(): readonly KeyRing[] {
    return this.#rings
  }

  ringFor(windowMs: number): KeyRing {
    if (this.#last !== undefined && this.#lastMs === windowMs) return this.#last
    this.#lastMs = windowMs
    this.#last = this.#ringOf(this.#lives.find((life) => life >= windowMs) ?? windowMs)
    return this.#last
  }

  expire(second: number): void {
    for (const ring of this.#rings) ring.expire(second)
  }

  /** Makes room by what is oldest in the fullest ring. @returns how many keys left */
  evict(): number {
    let fullest = this.#rings[0]
    for (const ring of this.#rings) if (ring.size > (fullest?.size ?? 0)) fullest = ring
    return fullest?.dropOldest() ?? 0
  }

  save(writer: SnapshotWriter, before: number): void {
    writer.number(this.#rings.length)
    for (const ring of this.#rings) ring.save(writer, before)
  }

  load(reader: SnapshotReader, first: number, nowSecond: number): void {
    for (let left = reader.number(); left > 0; left--) this.#ringOf(reader.number()).load(reader, first, nowSecond)
  }

  #ringOf(lifeMs: number): KeyRing {
    const known = this.#rings.find((ring) => ring.lifeMs === lifeMs)
    if (known !== undefined) return known
    const ring = new KeyRing(lifeMs, this.entriesMax)
    this.#rings = [...this.#rings, ring].toSorted((a, b) => a.lifeMs - b.lifeMs)
    return ring
  }
}
