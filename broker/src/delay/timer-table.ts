import { HashChains } from '../hash-chains.ts'
import type { SnapshotReader, SnapshotWriter } from '../snapshot.ts'
import { TimeHeap } from '../time-heap.ts'

const FIRST_CAPACITY = 64
const COMPACT_ABOVE = 1024

/**
 * States of a delayed message. Decisions are made in the order of their appends, so the log agrees with the table:
 *
 * | state     | due    | cancel   | reschedule | stored            | refused | failed |
 * | --------- | ------ | -------- | ---------- | ----------------- | ------- | ------ |
 * | pending   | firing | changing | changing   |                   |         |        |
 * | firing    |        | "fired"  | "fired"    | fired             | pending | stays  |
 * | changing  |        | waits    | waits      | cancelled, or new | pending | stays  |
 * | fired     |        | "fired"  | "fired"    |                   |         |        |
 * | cancelled |        | repeat   | "cancelled" |                  |         |        |
 *
 * A rescheduled one leaves the table, and its parked copy enters it as pending under the same unique key.
 *
 * Refused = the log did not take the record, failed = the store broke under it and the restart will tell; it stays put.
 * `free` numbers are reused; `forgotten` ones wait until the heap lets go of them.
 */
export const TimerState = {
  free: 0,
  pending: 1,
  firing: 2,
  changing: 3,
  fired: 4,
  cancelled: 5,
  forgotten: 6,
} as const

/** Which entries {@link TimerTable.page} gives. */
export interface TimerRange {
  after: { dueAt: number; physicalOffset: number }
  from: number
  to: number
  limit: number
}

/**
 * Every delayed message the broker knows, by a small number: typed arrays, about 53 bytes each, no object. Pending ones
 * are ordered by due time; all are found by the fingerprint of (topic, unique key), to be verified against the record.
 * Settled ones stay for a while so that a cancel gets a true answer.
 */
export class TimerTable {
  readonly #settledMax: number
  readonly #settledWindowMs: number
  readonly #heap = new TimeHeap()
  readonly #byHash = new HashChains()
  #physical = new Float64Array(FIRST_CAPACITY)
  #dueAt = new Float64Array(FIRST_CAPACITY)
  #states = new Uint8Array(FIRST_CAPACITY)
  #inHeap = new Uint8Array(FIRST_CAPACITY)
  #free: number[] = []
  #used = 0
  #unsettled = 0
  /** Settled ones in order: a queue with the index of its head. */
  #settled: { id: number; at: number }[] = []
  #settledHead = 0

  constructor(options: { settledMax: number; settledWindowMs: number }) {
    this.#settledMax = options.settledMax
    this.#settledWindowMs = options.settledWindowMs
  }

  /** Pending, firing and changing. */
  get unsettled(): number {
    return this.#unsettled
  }

  /** Due time of the next entry of the heap, which may have been cancelled since; Infinity when empty. */
  get nextDue(): number {
    return this.#heap.nextTime
  }

  state(id: number): number {
    return this.#states[id] as number
  }

  physicalOffset(id: number): number {
    return this.#physical[id] as number
  }

  /** When it was to be delivered; a delivery that was refused is tried again later than that. */
  dueAt(id: number): number {
    return this.#dueAt[id] as number
  }

  /** @param hash fingerprint of topic and key */
  add(physicalOffset: number, dueAt: number, hash: number): number {
    const id = this.#free.pop() ?? this.#used++
    if (id === this.#states.length) this.#grow()
    this.#physical[id] = physicalOffset
    this.#dueAt[id] = dueAt
    this.#states[id] = TimerState.pending
    this.#byHash.add(hash, id)
    this.#unsettled++
    this.schedule(id, dueAt)
    return id
  }

  /** Puts a pending one (again) in order; it stands there once at most. */
  schedule(id: number, dueAt: number): void {
    if (this.#inHeap[id] === 1) return
    this.#inHeap[id] = 1
    this.#heap.push(dueAt, id)
    if (this.#heap.size > COMPACT_ABOVE && this.#heap.size > 2 * this.#unsettled) {
      this.#heap.retain((entry) => this.#states[entry] === TimerState.pending || this.#release(entry))
    }
  }

  /** Takes out one pending message due at `now`, -1 when there is none; the caller moves it on. */
  takeDue(now: number): number {
    while (this.#heap.nextTime <= now) {
      const id = this.#heap.pop()
      this.#release(id)
      if (this.#states[id] === TimerState.pending) return id
    }
    return -1
  }

  /** Moves an unsettled one to another unsettled state. */
  move(id: number, state: 1 | 2 | 3): void {
    this.#states[id] = state
  }

  settle(id: number, state: 4 | 5, at: number): void {
    this.#states[id] = state
    this.#unsettled--
    this.#settled.push({ id, at })
    while (this.#settled.length > this.#settledHead) {
      const oldest = this.#settled[this.#settledHead] as { id: number; at: number }
      const tooMany = this.#settled.length - this.#settledHead > this.#settledMax
      if (!tooMany && at - oldest.at <= this.#settledWindowMs) break
      this.#settledHead++
      this.#forget(oldest.id)
    }
    if (this.#settledHead > 1024 && this.#settledHead * 2 > this.#settled.length) {
      this.#settled = this.#settled.slice(this.#settledHead)
      this.#settledHead = 0
    }
  }

  /** Drops one whose record is gone, or that another one replaces. */
  drop(id: number): void {
    this.#unsettled--
    this.#forget(id)
  }

  /** Fingerprint of topic and key. */
  hashOf(id: number): number {
    return this.#byHash.hashOf(id)
  }

  /** First known message with this fingerprint, -1 when none; {@link next} goes on. */
  first(hash: number): number {
    return this.#byHash.first(hash)
  }

  next(): number {
    return this.#byHash.next()
  }

  /** Smallest physical offset of an unsettled one, Infinity when there is none. */
  earliest(): number {
    let earliest = Number.POSITIVE_INFINITY
    if (this.#unsettled === 0) return earliest
    for (let id = 0; id < this.#used; id++) {
      const state = this.#states[id] as number
      if (state < TimerState.pending || state > TimerState.changing) continue
      if ((this.#physical[id] as number) < earliest) earliest = this.#physical[id] as number
    }
    return earliest
  }

  /**
   * Numbers of unsettled ones by due time, then place in the log: the first `limit` behind `after` that are due from
   * `from` to `to` (ms, both included). Visits every entry.
   */
  page(range: TimerRange): number[] {
    const { after, from, to, limit } = range
    const order = (a: number, b: number): number =>
      this.dueAt(a) - this.dueAt(b) || this.physicalOffset(a) - this.physicalOffset(b)
    const found: number[] = []
    let last = Number.POSITIVE_INFINITY
    for (let id = 0; id < this.#used; id++) {
      const state = this.#states[id] as number
      const dueAt = this.#dueAt[id] as number
      if (state < TimerState.pending || state > TimerState.changing || dueAt < from || dueAt > to || dueAt > last)
        continue
      if (dueAt < after.dueAt || (dueAt === after.dueAt && this.physicalOffset(id) <= after.physicalOffset)) continue
      found.push(id)
      if (found.length < 2 * limit) continue
      found.sort(order).length = limit
      last = this.dueAt(found.at(-1) as number)
    }
    return found.sort(order).slice(0, limit)
  }

  /** Unsettled ones parked before log offset `before`, in no order, and the settled ones, oldest first. */
  save(writer: SnapshotWriter, before: number): void {
    const unsettled: number[] = []
    for (let id = 0; id < this.#used; id++) {
      const state = this.#states[id] as number
      const isUnsettled = state >= TimerState.pending && state <= TimerState.changing
      if (isUnsettled && (this.#physical[id] as number) < before) unsettled.push(id)
    }
    writer.number(unsettled.length)
    writer.column(Float64Array.from(unsettled, (id) => this.#physical[id] as number))
    writer.column(Float64Array.from(unsettled, (id) => this.#dueAt[id] as number))
    writer.column(Int32Array.from(unsettled, (id) => this.#byHash.hashOf(id)))
    const settled = this.#settled.slice(this.#settledHead)
    writer.number(settled.length)
    writer.column(Float64Array.from(settled, ({ id }) => this.#physical[id] as number))
    writer.column(Float64Array.from(settled, ({ at }) => at))
    writer.column(Int32Array.from(settled, ({ id }) => this.#byHash.hashOf(id)))
    writer.column(Uint8Array.from(settled, ({ id }) => this.#states[id] as number))
  }

  /** @param onUnsettled told the number of each unsettled one */
  load(reader: SnapshotReader, first: number, onUnsettled: (physicalOffset: number, id: number) => void): void {
    const unsettled = reader.number()
    const physical = reader.float64(unsettled)
    const dueAt = reader.float64(unsettled)
    const hashes = reader.int32(unsettled)
    for (let i = 0; i < unsettled; i++) {
      const offset = physical[i] as number
      if (offset >= first) onUnsettled(offset, this.add(offset, dueAt[i] as number, hashes[i] as number))
    }
    const settled = reader.number()
    const settledPhysical = reader.float64(settled)
    const at = reader.float64(settled)
    const settledHashes = reader.int32(settled)
    const states = reader.uint8(settled)
    for (let i = 0; i < settled; i++) {
      const id = this.add(settledPhysical[i] as number, 0, settledHashes[i] as number)
      this.settle(id, states[i] as 4 | 5, at[i] as number)
    }
  }

  #forget(id: number): void {
    this.#byHash.remove(id)
    if (this.#inHeap[id] === 1) this.#states[id] = TimerState.forgotten
    else this.#recycle(id)
  }

  /** The heap lets go of `id`. @returns false */
  #release(id: number): boolean {
    this.#inHeap[id] = 0
    if (this.#states[id] === TimerState.forgotten) this.#recycle(id)
    return false
  }

  #recycle(id: number): void {
    this.#states[id] = TimerState.free
    this.#free.push(id)
  }

  #grow(): void {
    const capacity = this.#states.length * 2
    const physical = new Float64Array(capacity)
    const dueAt = new Float64Array(capacity)
    const states = new Uint8Array(capacity)
    const inHeap = new Uint8Array(capacity)
    physical.set(this.#physical)
    dueAt.set(this.#dueAt)
    states.set(this.#states)
    inHeap.set(this.#inHeap)
    this.#physical = physical
    this.#dueAt = dueAt
    this.#states = states
    this.#inHeap = inHeap
  }
}
