import type { Waiter } from './journal-options.ts'

/** On a full disk entries are not kept beyond this: the next file written is a snapshot, which holds them all. */
const KEPT_BYTES_MAX = 4 << 20

/** Entries of the journal that are not in its file, and who waits for them. */
export class UnwrittenEntries {
  #entries: Buffer[] = []
  #bytes = 0
  #isBehind = false
  #waiters: Waiter[] = []
  /** Those that free room: written behind the others, or without them when they do not fit. */
  #freeing: Buffer[] = []
  #freeingWaiters: Waiter[] = []

  /** They were given up on a full disk: only a snapshot can go on from here. */
  get isBehind(): boolean {
    return this.#isBehind
  }

  get isEmpty(): boolean {
    return this.#bytes === 0 && !this.#isBehind && this.#freeing.length === 0
  }

  get hasFreeing(): boolean {
    return this.#freeing.length > 0
  }

  /** In the order they are to be written. */
  get all(): readonly Buffer[] {
    return [...this.#entries, ...this.#freeing]
  }

  get freeing(): readonly Buffer[] {
    return this.#freeing
  }

  push(entry: Buffer): void {
    if (this.#isBehind) return
    this.#entries.push(entry)
    this.#bytes += entry.length
  }

  pushFreeing(entry: Buffer): void {
    this.#freeing.push(entry)
  }

  /** Told with those pushed so far. */
  wait(waiter: Waiter): void {
    this.#waiters.push(waiter)
  }

  waitForFreeing(waiter: Waiter): void {
    this.#freeingWaiters.push(waiter)
  }

  /** There is no room. More of them than is kept are given up. */
  refused(): void {
    if (this.#bytes <= KEPT_BYTES_MAX) return
    this.#clear()
    this.#isBehind = true
  }

  /** A snapshot holds them, except for those that free room. */
  inSnapshot(): void {
    this.#clear()
    this.#isBehind = false
  }

  /** All are in the file. @returns who waits for that */
  written(): Waiter[] {
    this.#clear()
    return [...this.freed(), ...this.#waiters.splice(0)]
  }

  /** Those that free room are in the file. @returns who waits for that */
  freed(): Waiter[] {
    this.#freeing = []
    return this.#freeingWaiters.splice(0)
  }

  /** @returns who waits and will wait in vain */
  fence(): Waiter[] {
    return [...this.#waiters.splice(0), ...this.#freeingWaiters.splice(0)]
  }

  #clear(): void {
    this.#entries = []
    this.#bytes = 0
  }
}
