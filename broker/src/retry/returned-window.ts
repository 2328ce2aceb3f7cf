import type { SnapshotReader, SnapshotWriter } from '../snapshot.ts'

export type ReturnDone = (error?: Error) => void

interface Returned {
  at: number
  /** Waiting for the append; undefined once it is stored. */
  waiting: ReturnDone[] | undefined
}

/**
 * Send-backs of the last moments by (group, physical offset, attempt): a client whose request timed out repeats it, and
 * two retry copies would multiply at each further failure (apache/rocketmq #2732). Bounded by count and by age; short,
 * because a group that rewinds its offsets may honestly fail on the same message again.
 */
export class ReturnedWindow {
  readonly #entriesMax: number
  readonly #windowMs: number
  readonly #returned = new Map<string, Returned>()

  constructor(options: { entriesMax: number; windowMs: number }) {
    this.#entriesMax = options.entriesMax
    this.#windowMs = options.windowMs
  }

  get size(): number {
    return this.#returned.size
  }

  /** @returns true when this is a repeat: `done` is called with the result of the first one */
  absorbs(key: string, now: number, done: ReturnDone): boolean {
    const returned = this.#returned.get(key)
    if (returned === undefined || now - returned.at > this.#windowMs) return false
    if (returned.waiting === undefined) done()
    else returned.waiting.push(done)
    return true
  }

  /** The first one begins; {@link finish} or {@link fail} ends it. */
  begin(key: string, now: number, done: ReturnDone): void {
    this.#insert(key, { at: now, waiting: [done] })
  }

  finish(key: string): void {
    const returned = this.#returned.get(key)
    const waiting = returned?.waiting
    if (returned !== undefined) returned.waiting = undefined
    for (const done of waiting ?? []) done()
  }

  /** Nothing was stored: the next send-back is a first one again. */
  fail(key: string, error: Error): void {
    const waiting = this.#returned.get(key)?.waiting
    this.#returned.delete(key)
    for (const done of waiting ?? []) done(error)
  }

  /** A retry copy or dead letter met in the log. */
  replay(key: string, storedAt: number, now: number): void {
    if (now - storedAt <= this.#windowMs) this.#insert(key, { at: storedAt, waiting: undefined })
  }

  /** Those that are stored, oldest first. */
  save(writer: SnapshotWriter): void {
    const stored = [...this.#returned].filter(([, { waiting }]) => waiting === undefined)
    writer.text(JSON.stringify(stored.map(([key, { at }]) => [key, at])))
  }

  load(reader: SnapshotReader, now: number): void {
    for (const [key, at] of JSON.parse(reader.text()) as [string, number][]) this.replay(key, at, now)
  }

  #insert(key: string, returned: Returned): void {
    this.#returned.delete(key)
    this.#returned.set(key, returned)
    for (const [oldest, { at, waiting }] of this.#returned) {
      if (waiting !== undefined) break
      if (this.#returned.size <= this.#entriesMax && returned.at - at <= this.#windowMs) break
      this.#returned.delete(oldest)
    }
  }
}
