import { randomBytes } from 'node:crypto'

/** A pending callback; cancelling one that ran or was cancelled does nothing. */
export interface Timer {
  cancel(): void
}

/**
 * Time and chance come in through here and nowhere else, so a whole system also runs on a virtual clock and the same
 * seed gives the same run. Hot paths read `now` once per turn.
 */
export interface Clock {
  /** Wall clock, whole ms since 1970: it is stored and sent as an integer. May jump. */
  now(): number
  /** ms from an arbitrary start; never goes back. Deadlines and leases use this one. */
  monotonic(): number
  /**
   * Runs `callback` once, not before `delayMs` have passed.
   * @param keepsAlive the process does not end while this timer is pending. Default false.
   */
  setTimer(delayMs: number, callback: () => void, keepsAlive?: boolean): Timer
  /** Runs `callback` after the input of this turn was read (setImmediate). */
  soon(callback: () => void): void
  /** 0 <= value < 1 */
  random(): number
  randomBytes(length: number): Buffer
}

const LONGEST_TIMER_MS = 0x7fffffff

class SystemTimer implements Timer {
  #handle: NodeJS.Timeout

  constructor(delayMs: number, callback: () => void, keepsAlive: boolean) {
    // Node runs a longer delay at once (timers.js TIMEOUT_MAX): wake up on the way and go on waiting.
    if (delayMs > LONGEST_TIMER_MS) {
      this.#handle = setTimeout(() => {
        this.#handle = new SystemTimer(delayMs - LONGEST_TIMER_MS, callback, keepsAlive).#handle
      }, LONGEST_TIMER_MS)
    } else {
      this.#handle = setTimeout(callback, Math.max(0, Math.ceil(delayMs)))
    }
    if (!keepsAlive) this.#handle.unref()
  }

  cancel(): void {
    clearTimeout(this.#handle)
  }
}

/** The clock of the machine. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimer: (delayMs, callback, keepsAlive = false) => new SystemTimer(delayMs, callback, keepsAlive),
  soon: (callback) => void setImmediate(callback),
  random: () => Math.random(),
  randomBytes: (length) => randomBytes(length),
}

/** Resolves after `delayMs`; rejects with the signal's reason when it is aborted before. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const timer = clock.setTimer(delayMs, () => {
      signal?.removeEventListener('abort', abort)
      resolve()
    })
    const abort = (): void => {
      timer.cancel()
      reject(signal?.reason)
    }
    signal?.addEventListener('abort', abort, { once: true })
  })
}
