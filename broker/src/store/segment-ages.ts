import type { Clock } from '@tandemmq/remoting'
import { AgeClock, type AgeClockOptions } from './age-clock.ts'
import type { Segment, Segments } from './segments.ts'
import type { StateJournal } from './state-journal.ts'
import type { StoreEntry, StoreState } from './store-state.ts'

const TABLE = 'store'

/** When each complete segment got its last record, on the age clock; kept in the journal, because stamps of records are wall time. */
export class SegmentAges {
  readonly #clock: Clock
  readonly #ages: AgeClock
  readonly #segments: Segments
  readonly #state: StoreState
  readonly #journal: StateJournal
  #lookedAt: number

  constructor(
    parts: { segments: Segments; state: StoreState; journal: StateJournal },
    options: Omit<AgeClockOptions, 'mark'>,
  ) {
    this.#clock = options.clock
    this.#segments = parts.segments
    this.#state = parts.state
    this.#journal = parts.journal
    const { mark } = parts.state
    this.#ages = new AgeClock({ ...options, mark })
    const now = this.#ages.now()
    this.#lookedAt = mark?.at ?? now
    if (mark === undefined) this.#begin(now)
  }

  /** Notes what time it is, and since when new complete segments have been so. @returns now, on the age clock */
  look(): number {
    const now = this.#ages.now()
    const passedMs = now - this.#lookedAt
    for (const { start, lastTimestamp } of this.#complete()) {
      if (this.#state.complete.has(start)) continue
      // The wall clock may say how old it is, but it was not complete at the last look.
      const ageMs = Math.min(Math.max(0, this.#clock.now() - lastTimestamp), passedMs)
      this.#note({ kind: 'complete', start, at: now - ageMs })
    }
    this.#lookedAt = now
    this.#mark(now)
    return now
  }

  /** Of a complete segment, on the age clock. Looked for it must be first. */
  completeAt(segment: Segment): number {
    return this.#state.complete.get(segment.start) ?? this.#lookedAt
  }

  /** The stamps are all a directory without a mark has. */
  #begin(now: number): void {
    for (const { start, lastTimestamp } of this.#complete()) {
      this.#note({ kind: 'complete', start, at: Math.min(now, lastTimestamp) })
    }
    this.#mark(now)
  }

  /** With the latest the wall clock ever showed: set back and forth, it must not count the same pause again. */
  #mark(at: number): void {
    this.#note({ kind: 'age', at, wall: Math.max(this.#clock.now(), this.#state.mark?.wall ?? 0) })
  }

  #complete(): readonly Segment[] {
    return this.#segments.list.slice(0, -1)
  }

  #note(entry: StoreEntry): void {
    this.#state.apply(entry)
    this.#journal.append(TABLE, entry)
  }
}
