import { PropertyName, RecordView } from '@tandemmq/protocol'
import type { Lease, LeaseQueue } from './lease-queue.ts'

/** Revive queue number of leases that keep the order of each key: it tells them apart in the journal. */
export const KEYED_REVIVE_QUEUE = 998

const name = Buffer.from(`${PropertyName.SHARDING_KEY}\x01`)
const VALUE_END = 0x02
const view = new RecordView()

/** `orderBy` of a stored message; messages without one share the key ''. */
export function orderKeyOf(record: Buffer): string {
  if (!view.at(record, 0)) return ''
  const { propertiesStart, propertiesEnd } = view
  for (
    let at = record.indexOf(name, propertiesStart);
    at >= 0 && at < propertiesEnd;
    at = record.indexOf(name, at + 1)
  ) {
    if (at > propertiesStart && record[at - 1] !== VALUE_END) continue
    const start = at + name.length
    const end = record.indexOf(VALUE_END, start)
    return record.toString('utf8', start, end < 0 || end > propertiesEnd ? propertiesEnd : end)
  }
  return ''
}

/**
 * The keys of one queue that have unsettled messages. Of each key only the first one is handed out; those behind it are leases nobody
 * holds (`isWaiting`), so that the queue can go on with other keys and yet knows what is not settled.
 */
export class KeyedLeases {
  readonly #open = new Map<string, number[]>()
  /** First ones of their keys that nobody holds. */
  readonly #ready = new Set<number>()

  /** Those of `leases` that have a key, in any order. Undefined: none has. */
  static of(leases: Iterable<Lease>): KeyedLeases | undefined {
    const keyed = new KeyedLeases()
    for (const lease of [...leases].toSorted((a, b) => a.offset - b.offset)) keyed.add(lease)
    return keyed.isEmpty ? undefined : keyed
  }

  get isEmpty(): boolean {
    return this.#open.size === 0
  }

  /** True while an earlier message of the key is not settled. */
  has(key: string): boolean {
    return this.#open.has(key)
  }

  /** Offsets that may be handed out, ascending. */
  get ready(): number[] {
    return [...this.#ready].toSorted((a, b) => a - b)
  }

  get hasReady(): boolean {
    return this.#ready.size > 0
  }

  /** A later message than all of its key so far. */
  add({ key, offset, isWaiting }: Lease): void {
    if (key === undefined) return
    const offsets = this.#open.get(key)
    if (offsets !== undefined) offsets.push(offset)
    else {
      this.#open.set(key, [offset])
      if (isWaiting) this.#ready.add(offset)
    }
  }

  handOut(offset: number): void {
    this.#ready.delete(offset)
  }

  /** Nobody holds the message any more. @returns whether it may be handed out again */
  giveBack({ key = '', offset }: Lease): boolean {
    if (this.#open.get(key)?.[0] !== offset) return false
    this.#ready.add(offset)
    return true
  }

  /** @returns true when the next message of the key may be handed out now */
  settle({ key = '', offset }: Lease, queue: LeaseQueue): boolean {
    this.#ready.delete(offset)
    const offsets = (this.#open.get(key) ?? []).filter((one) => one !== offset)
    const [next] = offsets
    if (next === undefined) {
      this.#open.delete(key)
      return false
    }
    this.#open.set(key, offsets)
    if (queue.find(next)?.isWaiting !== true) return false
    this.#ready.add(next)
    return true
  }
}
