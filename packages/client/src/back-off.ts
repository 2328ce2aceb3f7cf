import type { Clock } from '@tandemmq/remoting'

const FIRST_MS = 200
const MAX_MS = 5_000

/**
 * Pause before another try: 200 ms, 400 ms, … 5 s, each times 0.5 to 1.5, so that clients that failed together do not come back
 * together.
 * @param failures before this one
 */
export function backOffMs(clock: Clock, failures: number): number {
  return jittered(clock, Math.min(FIRST_MS * 2 ** Math.min(failures, 10), MAX_MS))
}

/** The pause a broker asked for, or twice as long at most: nobody comes early, and not all come together. */
export function honoured(clock: Clock, retryAfterMs: number): number {
  return Math.ceil(retryAfterMs * (1 + clock.random()))
}

export function jittered(clock: Clock, ms: number): number {
  return Math.ceil(ms * (0.5 + clock.random()))
}
