import { TimeHeap } from '../time-heap.ts'
import type { HalfMessage } from './half-message.ts'

/** outbox.md 2.5: pauses after the first check-back, ms; the last one repeats. */
export const BACK_OFF_MS: readonly number[] = [1_000, 2_000, 5_000, 10_000, 30_000, 60_000]

const COMPACT_ABOVE = 1024

/**
 * When to ask about which half message. Nearly every half is settled before its first check-back and most have the same
 * immunity, so they stand in a list in order of arrival that costs nothing to leave; the others wait in a heap.
 */
export class CheckSchedule {
  readonly #find: (physicalOffset: number) => HalfMessage | undefined
  readonly #heap = new TimeHeap()
  #inHeap = 0
  #head: HalfMessage | undefined
  #tail: HalfMessage | undefined

  /** @param find the pending half at a physical offset */
  constructor(find: (physicalOffset: number) => HalfMessage | undefined) {
    this.#find = find
  }

  /** Monotonic ms of the next check, possibly of a half settled since; Infinity when there is none. */
  get nextAt(): number {
    return Math.min(this.#head === undefined ? Number.POSITIVE_INFINITY : this.#head.dueAt, this.#heap.nextTime)
  }

  /** @param dueAt monotonic ms */
  add(half: HalfMessage, dueAt: number): void {
    this.remove(half)
    half.dueAt = dueAt
    if (half.step === 0 && (this.#tail === undefined || this.#tail.dueAt <= dueAt)) {
      half.queued = 'list'
      half.previous = this.#tail
      if (this.#tail === undefined) this.#head = half
      else this.#tail.next = half
      this.#tail = half
      return
    }
    half.queued = 'heap'
    this.#inHeap++
    this.#heap.push(dueAt, half.physicalOffset)
    if (this.#heap.size > COMPACT_ABOVE && this.#heap.size > 2 * this.#inHeap) {
      this.#heap.retain((physicalOffset) => this.#find(physicalOffset)?.queued === 'heap')
    }
  }

  remove(half: HalfMessage): void {
    if (half.queued === 'heap') this.#inHeap--
    if (half.queued === 'list') {
      if (half.previous === undefined) this.#head = half.next
      else half.previous.next = half.next
      if (half.next === undefined) this.#tail = half.previous
      else half.next.previous = half.previous
      half.previous = half.next = undefined
    }
    half.queued = 'no'
  }

  /** Takes out one half whose check is due at monotonic `now`. */
  takeDue(now: number): HalfMessage | undefined {
    const head = this.#head
    if (head !== undefined && head.dueAt <= now) {
      this.remove(head)
      return head
    }
    while (this.#heap.nextTime <= now) {
      const dueAt = this.#heap.nextTime
      const half = this.#find(this.#heap.pop())
      // Settled or rescheduled since it was put here.
      if (half === undefined || half.queued !== 'heap' || half.dueAt !== dueAt) continue
      this.remove(half)
      return half
    }
    return undefined
  }
}
