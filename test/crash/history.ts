import { closeSync, fstatSync, openSync, readdirSync, readSync } from 'node:fs'
import { join } from 'node:path'
import type { OperationEvent } from './operations.ts'

/** What was agreed about a group's deliveries. */
export interface GroupPolicy {
  readonly mode: 'clustering' | 'broadcasting' | 'lease'
  readonly ordered: boolean
  readonly attemptsMax: number
  /** Least pause before delivery n + 2, ms; the last counts for all that follow. */
  readonly retryMs: readonly number[]
}

/** What the clients of a crash test write down (test/kit/history-writer.mjs); `t` in ns of one clock for all processes. */
export type HistoryEvent = { readonly t: number; readonly wall: number; readonly proc: string } & (
  | {
      readonly event: 'send.start'
      readonly id: string
      readonly topic: string
      readonly kind: 'plain' | 'dedup' | 'batch' | 'delayed' | 'half'
      readonly hash: string
      readonly delayMs?: number
      readonly dedupKey?: string
      readonly tag?: string
      readonly priority?: number
    }
  | {
      readonly event: 'send.ok'
      readonly id: string
      readonly queueId: number
      readonly offset: number
      /** The broker had it, or another one with its dedup key, already. */
      readonly duplicate?: boolean
    }
  /** `unknown`: may or may not be stored. `fail`: the error said that it certainly is not. */
  | { readonly event: 'send.unknown' | 'send.fail'; readonly id: string; readonly code: string }
  /** The local transaction of a half message. */
  | { readonly event: 'local.commit' | 'local.rollback'; readonly id: string }
  | {
      readonly event: 'join'
      readonly group: string
      readonly topic: string
      /** How its members consume; undefined for plain readers, which begin and end no deliveries. */
      readonly policy?: GroupPolicy
      /** What it subscribes to; undefined for everything. */
      readonly tags?: readonly string[]
    }
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
  /** No fault is under way any more. */
  | { readonly event: 'heal' }
  /** A consumer begins a delivery; `op` pairs it with its end. */
  | {
      readonly event: 'handle.start'
      readonly op: number
      readonly id: string
      readonly group: string
      readonly member: string
      readonly topic: string
      /** Its place: `%RETRY%...` for a delivery after the first. */
      readonly stored: string
      readonly queueId: number
      readonly offset: number
      readonly attempt: number
      readonly storedWall: number
      readonly key?: string
      /** Offset of the dead letter it was, if it was one. */
      readonly redriven?: number
    }
  /** `retry` after `delayMs`, or after what the policy says; `reject`: a dead letter at once. */
  | {
      readonly event: 'handle.end'
      readonly op: number
      readonly id: string
      readonly group: string
      readonly outcome: 'ok' | 'retry' | 'reject'
      readonly delayMs?: number
    }
  /** A consumer came or went. */
  | { readonly event: 'member'; readonly group: string; readonly member: string; readonly change: string }
  /** Found among the dead letters of a group. */
  | {
      readonly event: 'dead'
      readonly group: string
      readonly id: string
      readonly reason: string
      readonly offset?: number
    }
  | { readonly event: 'cancel.start'; readonly id: string }
  | { readonly event: 'cancel.ok'; readonly id: string; readonly outcome: 'cancelled' | 'fired' | 'unknown' }
  /** An operator moves a group; `to` = -1 for the end, 0 for the beginning, else an instant (wall, ms). */
  | {
      readonly event: 'rewind.start' | 'rewind.ok'
      readonly group: string
      readonly topic: string
      readonly to: number
    }
  /** An operator deletes a group, its positions and retries with it. */
  | { readonly event: 'forget.start' | 'forget.ok'; readonly group: string }
  /** What the broker says about itself after a drain, beside what it should say. */
  | { readonly event: 'account'; readonly what: string; readonly told: number; readonly due: number }
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
  | OperationEvent
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
