import type { HistoryEvent } from './history.ts'

/** How the broker's wall clock was set, and when the broker had to believe it: a start knows no other clock. */
export class WallJumps {
  readonly #jumps: { t: number; offsetMs: number }[] = []
  readonly #restarts: number[] = []

  take(event: HistoryEvent): void {
    if (event.event === 'clock') this.#jumps.push({ t: event.t, offsetMs: event.offsetMs })
    else if (event.event === 'restart') this.#restarts.push(event.t)
  }

  /** The most the clock gained on the time between any two instants of the span. @param from ns @param to ns @returns ns */
  gainedIn(from: number, to: number): number {
    let lowest = this.#jumps.findLast(({ t }) => t < from)?.offsetMs ?? 0
    let gained = 0
    for (const { t, offsetMs } of this.#jumps) {
      if (t < from || t > to) continue
      gained = Math.max(gained, offsetMs - lowest)
      lowest = Math.min(lowest, offsetMs)
    }
    return gained * 1e6
  }

  /** As {@link gainedIn}; 0 when the broker ran all the time, and had a steady clock. */
  gainedOverRestartIn(from: number, to: number): number {
    return this.#restarts.some((t) => t >= from && t <= to) ? this.gainedIn(from, to) : 0
  }
}
