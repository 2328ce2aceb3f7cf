import type { AgeMark } from './age-clock.ts'
import type { JournalOwner } from './journal-options.ts'

/** A damaged range of the log that somebody decided to live with: bytes [from, to). */
export interface DamagedRange {
  from: number
  to: number
}

export type StoreEntry =
  | { kind: 'base'; topic: string; queueId: number; offset: number }
  | { kind: 'durable'; offset: number }
  | { kind: 'first'; offset: number }
  | { kind: 'damage'; from: number; to: number }
  | { kind: 'deleted'; topic: string; before: number }
  | { kind: 'age'; at: number; wall: number }
  | { kind: 'complete'; start: number; at: number }

/** What the store must know and the log cannot say. Table `store` of the journal: entries may come in any order. */
export class StoreState implements JournalOwner {
  /** topic -> queue id -> next offset of a queue that has no record left. */
  readonly bases = new Map<string, number[]>()
  /** topic -> its records before this log offset are deleted. */
  readonly deletedBefore = new Map<string, number>()
  damage: DamagedRange[] = []
  /** The log was durable up to here at least. */
  durable = 0
  /** Retention took everything before. */
  first = 0
  /** The latest mark of the age clock. */
  mark: AgeMark | undefined
  /** Start of a complete segment -> when it became so, on the age clock. */
  readonly complete = new Map<number, number>()

  apply(entry: unknown): void {
    const known = entry as StoreEntry
    switch (known.kind) {
      case 'base': {
        const offsets = this.bases.get(known.topic) ?? []
        offsets[known.queueId] = Math.max(known.offset, offsets[known.queueId] ?? 0)
        this.bases.set(known.topic, offsets)
        return
      }
      case 'durable':
        this.durable = Math.max(this.durable, known.offset)
        return
      case 'first':
        this.first = Math.max(this.first, known.offset)
        for (const start of this.complete.keys()) if (start < this.first) this.complete.delete(start)
        return
      case 'damage':
        if (!this.damage.some(({ from }) => from === known.from)) this.damage.push({ from: known.from, to: known.to })
        return
      case 'deleted':
        this.deletedBefore.set(known.topic, Math.max(known.before, this.deletedBefore.get(known.topic) ?? 0))
        return
      case 'age':
        if (this.mark === undefined || known.at > this.mark.at) this.mark = { at: known.at, wall: known.wall }
        return
      case 'complete': {
        const at = Math.max(known.at, this.complete.get(known.start) ?? known.at)
        if (known.start >= this.first) this.complete.set(known.start, at)
      }
    }
  }

  *snapshot(): Iterable<StoreEntry> {
    yield { kind: 'durable', offset: this.durable }
    yield { kind: 'first', offset: this.first }
    if (this.mark !== undefined) yield { kind: 'age', ...this.mark }
    for (const [start, at] of this.complete) yield { kind: 'complete', start, at }
    for (const { from, to } of this.damage) if (to > this.first) yield { kind: 'damage', from, to }
    for (const [topic, before] of this.deletedBefore) if (before > this.first) yield { kind: 'deleted', topic, before }
    for (const [topic, offsets] of this.bases) {
      for (const [queueId, offset] of offsets.entries()) {
        if (offset !== undefined) yield { kind: 'base', topic, queueId, offset }
      }
    }
  }
}
