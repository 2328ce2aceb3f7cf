import { systemClock } from '@tandemmq/client'
import type { Io, Terminal } from './io.ts'

/** How far long work is. */
export interface Progress {
  /** So many more are done. */
  advance(count?: number): void
  /** Takes the bar away; the result of the command goes to standard output as usual. */
  end(): void
}

const REDRAWN_EVERY_MS = 100
const BAR_MAX = 30
const nothing: Progress = { advance() {}, end() {} }

/**
 * A bar on the terminal of a person, e.g. `redriving [=====>    ] 1,200 of 10,000, 240/s, 37 s left`; nothing at all elsewhere.
 * @param total 0 when nobody knows: then only count and rate are shown
 * @param now monotonic ms
 */
export function startProgress(
  io: Pick<Io, 'terminal'>,
  label: string,
  total: number,
  now: () => number = () => systemClock.monotonic(),
): Progress {
  return io.terminal === undefined ? nothing : new TerminalProgress(io.terminal, label, total, now)
}

class TerminalProgress implements Progress {
  readonly #terminal: Terminal
  readonly #label: string
  readonly #total: number
  readonly #now: () => number
  readonly #startedAt: number
  #done = 0
  #drawnAt = Number.NEGATIVE_INFINITY
  #hasEnded = false

  constructor(terminal: Terminal, label: string, total: number, now: () => number) {
    this.#terminal = terminal
    this.#label = label
    this.#total = total
    this.#now = now
    this.#startedAt = now()
    this.#draw()
  }

  advance(count = 1): void {
    this.#done += count
    if (!this.#hasEnded && this.#now() - this.#drawnAt >= REDRAWN_EVERY_MS) this.#draw()
  }

  end(): void {
    if (!this.#hasEnded) this.#terminal.write('\r\u001b[K')
    this.#hasEnded = true
  }

  #draw(): void {
    const now = this.#now()
    this.#drawnAt = now
    const text = progressText(this.#label, this.#done, this.#total, now - this.#startedAt)
    // A line that wraps could not be drawn over.
    this.#terminal.write(`\r\u001b[K${text.slice(0, this.#terminal.columns - 1)}`)
  }
}

export function progressText(label: string, done: number, total: number, elapsedMs: number): string {
  const rate = elapsedMs <= 0 ? 0 : (done * 1000) / elapsedMs
  const speed = `${count(Math.round(rate))}/s`
  if (total <= 0) return `${label} ${count(done)}, ${speed}`
  const share = Math.min(1, done / total)
  const filled = Math.floor(share * BAR_MAX)
  const bar = `${'='.repeat(filled)}${filled < BAR_MAX ? '>' : ''}`.padEnd(BAR_MAX)
  const left = rate === 0 ? '' : `, ${duration(((total - done) * 1000) / rate)} left`
  return `${label} [${bar}] ${count(done)} of ${count(total)}, ${speed}${left}`
}

const count = (value: number): string => value.toLocaleString('en-US')

function duration(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1000))
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
  return `${Math.floor(seconds / 3_600)} h ${Math.floor((seconds % 3_600) / 60)} min`
}
