import { createHash } from 'node:crypto'
import type { VirtualClock } from '@tandemmq/remoting/simulation'
import type { HistoryEvent } from '../history.ts'

type WithoutTime<T> = T extends HistoryEvent ? Omit<T, 't' | 'wall' | 'proc'> : never
export type LedgerEvent = WithoutTime<HistoryEvent>

/** What the clients of one history wrote down, and how many steps the disk had made by then. */
export class Ledger {
  readonly #clock: VirtualClock
  readonly #startMs: number
  readonly #steps: () => number
  readonly events: HistoryEvent[] = []
  readonly steps: number[] = []

  /** @param startMs how far the history was when `clock` was new */
  constructor(clock: VirtualClock, startMs: number, steps: () => number) {
    this.#clock = clock
    this.#startMs = startMs
    this.#steps = steps
  }

  /** ms since the history began. */
  get now(): number {
    return this.#startMs + this.#clock.monotonic()
  }

  note(event: LedgerEvent): void {
    this.events.push({ ...event, t: this.now * 1e6, wall: this.#clock.now(), proc: 'lab' } as HistoryEvent)
    this.steps.push(this.#steps())
  }
}

export function hashOf(body: Buffer): string {
  return createHash('sha256').update(body).digest('base64url').slice(0, 16)
}

/** The body of a message follows from its id: a line with the id, and filler up to 7 KiB, or 1.5 KiB in a batch of up to four. */
export function bodyOf(id: string): Buffer {
  const chance = createHash('md5').update(id).digest().readUInt32BE(0) / 0x1_0000_0000
  const bytesMax = id.startsWith('batch') ? 1_500 : 7_000
  return Buffer.concat([Buffer.from(`${id}\n`), Buffer.alloc(Math.floor(chance ** 2 * bytesMax), id)])
}

export function idOf(body: Buffer): string {
  return body.subarray(0, Math.max(0, body.indexOf(10))).toString()
}
