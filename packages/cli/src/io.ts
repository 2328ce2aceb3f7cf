import { createInterface } from 'node:readline/promises'

/** A person in front of the program: only there when standard input and standard error are a terminal. */
export interface Terminal {
  /** Characters per line. */
  readonly columns: number
  /** Text as it stands, on standard error. */
  write(text: string): void
  /** Shows the question and waits for a line. */
  ask(question: string): Promise<string>
}

/** The process around a command; tests pass their own. */
export interface Io {
  out(line: string): void
  err(line: string): void
  /** Absent in pipes, services and scripts: nothing is asked and nothing is drawn there. */
  readonly terminal?: Terminal | undefined
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
    terminal: process.stdin.isTTY && process.stderr.isTTY ? processTerminal() : undefined,
    get stop() {
      // Only a program that waits takes the signals over; the others die of them as usual.
      if (!listening)
        for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort(signal))
      listening = true
      return stop.signal
    },
  }
}

function processTerminal(): Terminal {
  return {
    get columns() {
      return process.stderr.columns ?? 80
    },
    write: (text) => void process.stderr.write(text),
    async ask(question) {
      const lines = createInterface({ input: process.stdin, output: process.stderr })
      // Its end without a line (Ctrl-D) is an answer too.
      const ended = new Promise<string>((resolve) => lines.once('close', () => resolve('')))
      try {
        return await Promise.race([lines.question(question), ended])
      } finally {
        lines.close()
      }
    },
  }
}

/** Resolves when the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
