import type { Clock, Timer } from './foundation.ts'

const FLUSH_MS = 200
const IDS_MAX = 1_000

/** Collects ids and hands on many at a time, one batch after the other. */
export class IdBatches {
  readonly #clock: Clock
  readonly #take: (ids: string[]) => Promise<void>
  #ids: string[] = []
  #timer: Timer | undefined
  #taking: Promise<void> = Promise.resolve()
  #inFlight = 0

  /** @param take never rejects */
  constructor(clock: Clock, take: (ids: string[]) => Promise<void>) {
    this.#clock = clock
    this.#take = take
  }

  /** Ids that no batch is done with yet. */
  get pending(): number {
    return this.#ids.length + this.#inFlight
  }

  add(id: string): void {
    this.#ids.push(id)
    if (this.#ids.length >= IDS_MAX) void this.flush()
    else this.#timer ??= this.#clock.setTimer(FLUSH_MS, () => void this.flush())
  }

  /** Never rejects. @returns when everything added so far was taken */
  flush(): Promise<void> {
    this.#timer?.cancel()
    this.#timer = undefined
    const ids = this.#ids
    this.#ids = []
    this.#inFlight += ids.length
    if (ids.length > 0) this.#taking = this.#taking.then(() => this.#takeAll(ids))
    return this.#taking
  }

  async #takeAll(ids: string[]): Promise<void> {
    await this.#take(ids)
    this.#inFlight -= ids.length
  }
}
