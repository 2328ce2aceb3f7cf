import { closeSync, fstatSync, openSync, readdirSync, readSync } from 'node:fs'
import { join } from 'node:path'

/** What the clients of a crash test write down (test/kit/history-writer.mjs); `t` in ns of one clock for all processes. */
export type HistoryEvent = { readonly t: number; readonly wall: number; readonly proc: string } & (
  | {
      readonly event: 'send.start'
      readonly id: string
      readonly topic: string
      readonly kind: 'plain' | 'dedup' | 'batch' | 'delayed' | 'half'
      readonly hash: string
      readonly delayMs?: number
    }
  | { readonly event: 'send.ok'; readonly id: string; readonly queueId: number; readonly offset: number }
  /** `unknown`: may or may not be stored. `fail`: the error said that it certainly is not. */
  | { readonly event: 'send.unknown' | 'send.fail'; readonly id: string; readonly code: string }
  /** The local transaction of a half message. */
  | { readonly event: 'local.commit' | 'local.rollback'; readonly id: string }
  | { readonly event: 'join'; readonly group: string; readonly topic: string }
  | {
      readonly event: 'recv'
      readonly id: string
      readonly hash: string
      readonly group: string
      readonly topic: string
      readonly queueId: number
      readonly offset: number
    }
  /** A group that reads from the beginning has read all there was of a queue. */
  | {
      readonly event: 'read.all'
      readonly group: string
      readonly topic: string
      readonly queueId: number
      readonly minOffset: number
      readonly maxOffset: number
    }
  | { readonly event: 'fault'; readonly kind: string; readonly readyMs?: number }
  /** A group says how far it is, and what the broker says it is; -1 for nothing. */
  | {
      readonly event: 'commit.start' | 'commit.ok' | 'offset.read'
      readonly group: string
      readonly topic: string
      readonly queueId: number
      readonly offset: number
    }
  | { readonly event: 'delete.start' | 'delete.ok'; readonly topic: string }
  /** A setting of the broker, -1 for none. */
  | { readonly event: 'put.start' | 'put.ok' | 'put.read'; readonly key: string; readonly value: number }
)

/** The logs of a folder, read on from where the last call stopped. */
export class HistoryReader {
  readonly #directory: string
  readonly #ends = new Map<string, number>()

  constructor(directory: string) {
    this.#directory = directory
  }

  /** Calls `take` for every whole line that came since the last call: file after file, so not in the order of time. */
  read(take: (event: HistoryEvent) => void): void {
    for (const file of this.#files()) {
      this.#lines(file, this.#ends.get(file) ?? 0, (line, end) => {
        this.#ends.set(file, end)
        take(JSON.parse(line) as HistoryEvent)
      })
    }
  }

  /** The first lines, in the order of time, that name one of `words`: what a reader of a violation wants to see. */
  witness(words: readonly string[], linesMax = 10): string[] {
    const found: HistoryEvent[] = []
    for (const file of this.#files()) {
      this.#lines(file, 0, (line) => {
        if (words.some((word) => line.includes(word))) found.push(JSON.parse(line) as HistoryEvent)
      })
    }
    return found
      .toSorted((a, b) => a.t - b.t)
      .slice(0, linesMax)
      .map((event) => JSON.stringify(event))
  }

  #files(): string[] {
    return readdirSync(this.#directory)
      .filter((name) => name.endsWith('.jsonl'))
      .sort()
      .map((name) => join(this.#directory, name))
  }

  #lines(path: string, from: number, take: (line: string, end: number) => void): void {
    const file = openSync(path, 'r')
    try {
      const chunk = Buffer.allocUnsafe(1 << 20)
      const size = fstatSync(file).size
      let rest = Buffer.alloc(0)
      let at = from
      while (at < size) {
        const bytes = readSync(file, chunk, 0, Math.min(chunk.length, size - at), at)
        const text = rest.length === 0 ? chunk.subarray(0, bytes) : Buffer.concat([rest, chunk.subarray(0, bytes)])
        const textAt = at - rest.length
        let start = 0
        for (let end = text.indexOf(10); end >= 0; end = text.indexOf(10, start)) {
          take(text.toString('utf8', start, end), textAt + end + 1)
          start = end + 1
        }
        rest = Buffer.from(text.subarray(start))
        at += bytes
      }
    } finally {
      closeSync(file)
    }
  }
}
