import { HashChains } from '../hash-chains.ts'
import type { SnapshotReader, SnapshotWriter } from '../snapshot.ts'
import { TimeHeap } from '../time-heap.ts'
import { DueHeap } from './due-heap.ts'
import { TimerState } from './timer-state.ts'

const FIRST_CAPACITY = 64
const COMPACT_ABOVE = 1024

/** Which entries {@link TimerTable.page} gives. */
export interface TimerRange {
  after: { dueAt: number; physicalOffset: number }
  from: number
  to: number
  limit: number
}

/**
 * Every delayed message the broker knows, by a small number: typed arrays, 38 bytes each in a full table, no object. Pending ones
 * are ordered by due time, by the wall clock or, for retries of consumers, by the steady one; all are found by the fingerprint of (topic, unique key), to be verified against the record.
 * Settled ones stay for a while so that a cancel gets a true answer.
 */
export class TimerTable {
  readonly #settledMax: number
  readonly #settledWindowMs: number
  readonly #byHash = new HashChains()
  #physical = new Float64Array(FIRST_CAPACITY)
  /** By the wall clock; negative: a steady one. */
  #dueAt = new Float64Array(FIRST_CAPACITY)
  readonly #due = new DueHeap(this.#dueAt, this.#physical)
  /** By the steady clock: steady ones, and those whose delivery was refused. */
  readonly #later = new TimeHeap()
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

  /** Due time of the next entry by the wall clock, which may have been cancelled since; Infinity when empty. */
  get nextDue(): number {
    return this.#due.nextTime
  }

  /** As {@link nextDue}, by the steady clock. */
  get nextLater(): number {
    return this.#later.nextTime
  }

  state(id: number): number {
    return this.#states[id] as number
  }

  physicalOffset(id: number): number {
    return this.#physical[id] as number
  }

  /** When it was to be delivered, by the wall clock; a delivery that was refused is tried again later than that. */
  dueAt(id: number): number {
    return Math.abs(this.#dueAt[id] as number)
  }

  isSteady(id: number): boolean {
    return (this.#dueAt[id] as number) < 0
  }

  /**
   * @param hash fingerprint of topic and key
   * @param steadyAt given: it is due at this time of the steady clock, whatever the wall clock does
   */
  add(physicalOffset: number, dueAt: number, hash: number, steadyAt?: number): number {
    const id = this.#free.pop() ?? this.#used++
    if (id === this.#states.length) this.#grow()
    this.#physical[id] = physicalOffset
    this.#dueAt[id] = steadyAt === undefined ? dueAt : -dueAt
    this.#states[id] = TimerState.pending
    this.#byHash.add(hash, id)
    this.#unsettled++
    this.#inHeap[id] = 1
    if (steadyAt === undefined) this.#due.push(id)
    else this.#later.push(steadyAt, id)
    this.#compact()
    return id
  }

  /** Puts a pending one in order again, by the steady clock; it stands there once at most. */
  postpone(id: number, steadyAt: number): void {
    if (this.#inHeap[id] === 1) return
    this.#inHeap[id] = 1
    this.#later.push(steadyAt, id)
  }

  /** Puts all that are due by the steady clock in order anew. */
  reorderSteady(steadyAtOf: (id: number) => number): void {
    const ids: number[] = []
    for (let id = this.#later.pop(); id >= 0; id = this.#later.pop()) ids.push(id)
    for (const id of ids) this.#later.push(steadyAtOf(id), id)
  }

  /**
   * Takes out one pending message due at `now` by the wall clock or at `steady` by the other one, -1 when there is none; the
   * caller moves it on.
   */
  takeDue(now: number, steady: number): number {
    for (;;) {
      let id: number
      if (this.#due.nextTime <= now) id = this.#due.pop()
      else if (this.#later.nextTime <= steady) id = this.#later.pop()
      else return -1
      this.#release(id)
      if (this.#states[id] === TimerState.pending) return id
    }
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
      const dueAt = this.dueAt(id)
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

  /** Unsettled ones (steady ones with a negative due time) parked before log offset `before`, in no order, and the settled ones, oldest first. */
  save(writer: SnapshotWriter, before: number): void {
    const isMeant = (id: number): boolean => {
      const state = this.#states[id] as number
      return state >= TimerState.pending && state <= TimerState.changing && (this.#physical[id] as number) < before
    }
    let count = 0
    for (let id = 0; id < this.#used; id++) if (isMeant(id)) count++
    const physical = new Float64Array(count)
    const dueAt = new Float64Array(count)
    const hashes = new Int32Array(count)
    let next = 0
    for (let id = 0; id < this.#used; id++) {
      if (!isMeant(id)) continue
      physical[next] = this.#physical[id] as number
      dueAt[next] = this.#dueAt[id] as number
      hashes[next++] = this.#byHash.hashOf(id)
    }
    writer.number(count).column(physical).column(dueAt).column(hashes)
    const settled = this.#settled.slice(this.#settledHead)
    writer.number(settled.length)
    writer.column(Float64Array.from(settled, ({ id }) => this.#physical[id] as number))
    writer.column(Float64Array.from(settled, ({ at }) => at))
    writer.column(Int32Array.from(settled, ({ id }) => this.#byHash.hashOf(id)))
    writer.column(Uint8Array.from(settled, ({ id }) => this.#states[id] as number))
  }

  /**
   * @param onUnsettled told the number of each unsettled one
   * @param steadyOf wall clock to steady one
   */
  load(
    reader: SnapshotReader,
    first: number,
    steadyOf: (dueAt: number) => number,
    onUnsettled: (physicalOffset: number, id: number) => void,
  ): void {
    const unsettled = reader.number()
    const physical = reader.float64(unsettled)
    const dueAt = reader.float64(unsettled)
    const hashes = reader.int32(unsettled)
    for (let i = 0; i < unsettled; i++) {
      const offset = physical[i] as number
      if (offset < first) continue
      const due = dueAt[i] as number
      const steadyAt = due < 0 ? steadyOf(-due) : undefined
      onUnsettled(offset, this.add(offset, Math.abs(due), hashes[i] as number, steadyAt))
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

  /** Cancelled ones leave their place in the order only when it comes up: not while they are the smaller part. */
  #compact(): void {
    const size = this.#due.size + this.#later.size
    if (size <= COMPACT_ABOVE || size <= 2 * this.#unsettled) return
    const keep = (id: number): boolean => this.#states[id] === TimerState.pending || this.#release(id)
    this.#due.retain(keep)
    this.#later.retain(keep)
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
    this.#due.columns = { dueAt, physical }
  }
}
