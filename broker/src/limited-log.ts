import type { Clock } from '@tandemmq/remoting'

const LINES_MAX = 20
const WINDOW_MS = 10_000

/** A log whose lines strangers cause: 20 of them in 10 s, the others are dropped, so that nobody fills a disk with it. */
export function limitedLog(clock: Clock, log: (line: string) => void): (line: string) => void {
  let since = Number.NEGATIVE_INFINITY
  let lines = 0
  return (line) => {
    const now = clock.monotonic()
    if (now - since >= WINDOW_MS) {
      since = now
      lines = 0
    }
    if (lines++ < LINES_MAX) log(line)
  }
}
