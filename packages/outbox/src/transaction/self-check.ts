import type { Resolver } from '../check-back/resolver.ts'
import type { Clock } from '../foundation.ts'
import { sleep } from '../foundation.ts'

/** Half of what the sweeper leaves alone: within it an absent marker was never committed, later it may have been swept. */
const DEFINITE_MS = 300_000
const PAUSE_FIRST_MS = 50
const PAUSE_LAST_MS = 1_000

/**
 * After an ambiguous COMMIT: asks as the broker would until the answer is final. Asking settles it too: a key found absent
 * is fenced, and a COMMIT still on its way fails.
 * @param markerAtMs database clock at the marker's insert
 * @returns undefined when it stayed undecided for `limitMs`
 */
export async function selfCheck(
  resolver: Resolver,
  clock: Clock,
  transactionId: string,
  markerAtMs: number,
  limitMs: number,
): Promise<'committed' | 'rolledBack' | undefined> {
  const deadline = clock.monotonic() + limitMs
  for (let pauseMs = PAUSE_FIRST_MS; ; pauseMs = Math.min(pauseMs * 2, PAUSE_LAST_MS)) {
    const { state, nowMs } = await resolver.check(transactionId)
    if (state === 'C' || state === 'F') return 'committed'
    if (state === 'R') return nowMs - markerAtMs < DEFINITE_MS ? 'rolledBack' : undefined
    if (state === 'notMine' || clock.monotonic() + pauseMs > deadline) return undefined
    await sleep(clock, pauseMs)
  }
}
