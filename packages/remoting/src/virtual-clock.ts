import type { Clock, Timer } from './clock.ts'

// Taken before any test replaces the global.
const realImmediate = setImmediate
const LONGEST_RUN_MS = 3_600_000
/** Turns of the real loop given to sockets and files after each event when `soon` is real. */
const REAL_TURNS = 4

export interface VirtualClockOptions {
  /** The same seed gives the same run. Default 1. */
  seed?: number
  /** Wall clock at the start, ms since 1970. Default 2024-01-01T00:00:00Z. */
  startAt?: number
  /**
   * 'virtual' (default): `soon` callbacks run inside {@link VirtualClock.advance} and its siblings, nothing depends on the
   * real event loop. 'real': they run by `setImmediate`, for a virtual time beside real sockets; such runs do not repeat.
   */
  soon?: 'virtual' | 'real'
}

class VirtualTimer implements Timer {
  readonly at: number
  readonly sequence: number
  callback: (() => void) | undefined

  constructor(at: number, sequence: number, callback: () => void) {
    this.at = at
    this.sequence = sequence
    this.callback = callback
  }

  cancel(): void {
    this.callback = undefined
  }
}

/** A clock that stands still until told to go on, with chance from a seed. Timers run in order of time, then of setting. */
export class VirtualClock implements Clock {
  #elapsed = 0
  /** Wall clock when {@link #wallSince} had passed. */
  #wall: number
  #wallSince = 0
  #wallRate = 1
  #heap: VirtualTimer[] = []
  #sequence = 0
  #soon: (() => void)[] = []
  #isReal: boolean
  #state: Uint32Array
  #turn: Promise<void> = Promise.resolve()

  constructor(options: VirtualClockOptions = {}) {
    this.#wall = options.startAt ?? 1_704_067_200_000
    this.#isReal = options.soon === 'real'
    const seed = options.seed ?? 1
    this.#state = new Uint32Array([seed >>> 0, Math.floor(seed / 0x1_0000_0000) >>> 0, 0x9e3779b9, 1])
    for (let n = 0; n < 12; n++) this.#next()
  }

  // Timers of a simulation fall between milliseconds; a wall clock shows whole ones.
  now(): number {
    return Math.floor(this.#exactWall())
  }

  monotonic(): number {
    return this.#elapsed
  }

  /** Moves the wall clock alone, as an administrator or NTP does. */
  jumpWall(byMs: number): void {
    this.#wall += byMs
  }

  /** Sets the wall clock alone. @param at ms since 1970 */
  setWall(at: number): void {
    this.#wall = at
    this.#wallSince = this.#elapsed
  }

  /** From now on the wall clock runs `rate` times as fast as time passes; timers do not. Default 1. */
  setWallRate(rate: number): void {
    this.setWall(this.#exactWall())
    this.#wallRate = rate
  }

  #exactWall(): number {
    return this.#wall + (this.#elapsed - this.#wallSince) * this.#wallRate
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const timer = new VirtualTimer(this.#elapsed + Math.max(0, delayMs), this.#sequence++, callback)
    this.#push(timer)
    return timer
  }

  soon(callback: () => void): void {
    if (this.#isReal) realImmediate(callback)
    else this.#soon.push(callback)
  }

  random(): number {
    return this.#next() / 0x1_0000_0000
  }

  randomBytes(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length)
    for (let at = 0; at < length; at++) bytes[at] = this.#next() >>> 24
    return bytes
  }

  /**
   * Lets `ms` pass: runs what falls due one by one, each followed by all promises it settles. Throws what a callback
   * throws. Calls queue up behind one another.
   */
  advance(ms: number): Promise<void> {
    return this.#exclusively(async () => {
      const end = this.#elapsed + ms
      while (await this.#step(end));
      this.#elapsed = Math.max(this.#elapsed, end)
    })
  }

  /** Runs what is due at this very instant. */
  settle(): Promise<void> {
    return this.advance(0)
  }

  /** Lets time pass until nothing is scheduled any more, at most `limitMs` (default one hour). */
  runUntilIdle(limitMs: number = LONGEST_RUN_MS): Promise<void> {
    return this.#exclusively(async () => {
      const end = this.#elapsed + limitMs
      while (await this.#step(end));
    })
  }

  /**
   * Lets time pass until `promise` settles, and returns or throws what it does.
   * @param limitMs virtual time after which it is given up, default one hour
   * @throws {Error} when nothing is scheduled any more or the limit is reached
   */
  async run<T>(promise: Promise<T>, limitMs: number = LONGEST_RUN_MS): Promise<T> {
    const outcome = { isSettled: false }
    const settled = (): void => {
      outcome.isSettled = true
    }
    promise.then(settled, settled)
    await this.#exclusively(async () => {
      const end = this.#elapsed + limitMs
      await this.#letPromisesRun()
      while (!outcome.isSettled) {
        if (await this.#step(end, () => outcome.isSettled)) continue
        if (outcome.isSettled) break
        const why =
          this.#elapsed >= end || this.#heap.length > 0 ? `not settled within ${limitMs} ms` : 'nothing is scheduled'
        throw new Error(`the promise never settles: ${why} at ${this.#elapsed} ms of virtual time`)
      }
    })
    return promise
  }

  #exclusively(work: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(work)
    this.#turn = turn.catch(() => {})
    return turn
  }

  /** Runs the next thing due until `end`, unless `isDone` says by then that nothing more is wanted. @returns false when there is none */
  async #step(end: number, isDone?: () => boolean): Promise<boolean> {
    await this.#letPromisesRun()
    if (isDone?.()) return true
    const callback = this.#soon.shift() ?? this.#popDue(end)
    if (callback === undefined) return false
    callback()
    return true
  }

  /** A turn of the real loop is the only sure sign that no promise job is left. */
  async #letPromisesRun(): Promise<void> {
    const turns = this.#isReal ? REAL_TURNS : 1
    for (let turn = 0; turn < turns; turn++) await new Promise<void>((resolve) => void realImmediate(resolve))
  }

  #popDue(end: number): (() => void) | undefined {
    for (;;) {
      const first = this.#heap[0]
      if (first === undefined || (first.callback !== undefined && first.at > end)) return undefined
      this.#removeFirst()
      const callback = first.callback
      if (callback === undefined) continue
      first.callback = undefined
      this.#elapsed = Math.max(this.#elapsed, first.at)
      return callback
    }
  }

  #push(timer: VirtualTimer): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(timer)
    while (at > 0) {
      const parentAt = (at - 1) >> 1
      const parent = heap[parentAt]
      if (parent === undefined || isBefore(parent, timer)) break
      heap[at] = parent
      at = parentAt
    }
    heap[at] = timer
  }

  #removeFirst(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let at = 0
    for (;;) {
      let childAt = at * 2 + 1
      let child = heap[childAt]
      if (child === undefined) break
      const right = heap[childAt + 1]
      if (right !== undefined && isBefore(right, child)) {
        child = right
        childAt++
      }
      if (isBefore(last, child)) break
      heap[at] = child
      at = childAt
    }
    heap[at] = last
  }

  /** sfc32 (public domain, Chris Doty-Humphrey). */
  #next(): number {
    const s = this.#state
    const [a = 0, b = 0, c = 0, counter = 0] = s
    const result = (a + b + counter) | 0
    s[3] = counter + 1
    s[0] = b ^ (b >>> 9)
    s[1] = c + (c << 3)
    s[2] = ((c << 21) | (c >>> 11)) + result
    return result >>> 0
  }
}

function isBefore(a: VirtualTimer, b: VirtualTimer): boolean {
  return a.at < b.at || (a.at === b.at && a.sequence < b.sequence)
}
