import type { Clock } from '../foundation.ts'

/** @returns undefined when `promise` takes longer */
export async function inTime<T>(promise: Promise<T>, clock: Clock, timeoutMs: number): Promise<T | undefined> {
  let timer: { cancel(): void } | undefined
  const timeout = new Promise<undefined>((resolve) => {
    timer = clock.setTimer(timeoutMs, () => resolve(undefined))
  })
  const value = await Promise.race([promise, timeout])
  timer?.cancel()
  return value
}
