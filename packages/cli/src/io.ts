/** The process around a command; tests pass their own. */
export interface Io {
  out(line: string): void
  err(line: string): void
  /** A line the next one replaces, empty to clear it. Absent where nobody looks. */
  status?(line: string): void
  /** Aborted when the user or the service manager asks the program to end. */
  readonly stop: AbortSignal
}

/** Standard output, standard error, SIGTERM and SIGINT. A second signal ends the process at once. */
export function processIo(): Io {
  const stop = new AbortController()
  let listening = false
  return {
    out: (line) => void process.stdout.write(`${line}\n`),
    err: (line) => void process.stderr.write(`${line}\n`),
    ...(process.stderr.isTTY && { status: (line: string) => void process.stderr.write(`\r\x1b[K${line}`) }),
    get stop() {
      // Only a program that waits takes the signals over; the others die of them as usual.
      if (!listening)
        for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort(signal))
      listening = true
      return stop.signal
    },
  }
}

/** Resolves when the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
