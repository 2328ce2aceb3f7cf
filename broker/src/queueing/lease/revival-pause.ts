import type { Lease } from './lease-queue.ts'

/** Pause before a copy that could not be made is tried again, ms: this first, then twice as long each time. */
export const REVIVAL_PAUSE_FIRST_MS = 1_000
const REVIVAL_PAUSE_MAX_MS = 60_000

/** Counts one more failure of the lease. @returns ms until the next try */
export function revivalPauseMs(lease: Lease): number {
  return Math.min(REVIVAL_PAUSE_FIRST_MS * 2 ** Math.min(lease.failures++, 10), REVIVAL_PAUSE_MAX_MS)
}
