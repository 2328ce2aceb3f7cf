import type { Clock, Connection, Timer } from '@tandemmq/remoting'
import type { ConsumeQueue } from '../store/index.ts'
import type { ConsumerGroup } from './consumer-group.ts'
import type { MessageFilter } from './subscription.ts'
import type { Topic } from './topic.ts'

const BUCKET_MS = 100
/** 512 buckets of 100 ms reach beyond the longest suspension. */
const BUCKETS = 512
/** remoting.md 4.6: clients ask for 15 or 20 s and give up after 30. */
export const SUSPEND_MS_MAX = 30_000

/** Who asks for what: the part of a pull that is the same for an immediate and for a parked answer. */
export interface Reader {
  readonly connection: Connection
  readonly opaque: number
  readonly serialization: 0 | 1
  readonly group: ConsumerGroup
  readonly topic: Topic
  readonly queue: ConsumeQueue
  readonly filter: MessageFilter
  readonly countMax: number
}

/**
 * A pull that waits, for a message or, when there are messages already, for its filter's turn. Member of three lists: its queue's,
 * its connection's, its deadline's.
 */
export interface ParkedPull extends Reader {
  /** Offset the client asked for. */
  readonly offset: number
  /** Everything from `offset` up to here was looked at and did not match. */
  scannedTo: number
  /** It may stay parked when nothing matches. */
  readonly awaitsMessage: boolean
  /** It waits for its filter's turn. */
  awaitsTurn: boolean
  bucket: number
  isParked: boolean
  nextOfQueue: ParkedPull | undefined
  previousOfQueue: ParkedPull | undefined
  nextOfConnection: ParkedPull | undefined
  previousOfConnection: ParkedPull | undefined
  nextOfBucket: ParkedPull | undefined
  previousOfBucket: ParkedPull | undefined
}

interface OfConnection {
  head: ParkedPull | undefined
  count: number
}

/**
 * Parked pulls. The list of a queue hangs on the queue itself (`waiter`), so a flush finds it without a lookup; one timer
 * serves all deadlines, in steps of 100 ms, never early.
 */
export class ParkedPulls {
  readonly #clock: Clock
  readonly #onDeadline: (pull: ParkedPull) => void
  readonly #buckets: (ParkedPull | undefined)[] = Array.from({ length: BUCKETS }, () => undefined)
  readonly #connections = new Map<number, OfConnection>()
  #timer: Timer | undefined
  /** Ticks (of 100 ms, monotonic): the one the timer will look at, and the last one looked at. */
  #armedTick = 0
  #doneTick: number
  #count = 0

  constructor(clock: Clock, onDeadline: (pull: ParkedPull) => void) {
    this.#clock = clock
    this.#onDeadline = onDeadline
    this.#doneTick = Math.floor(clock.monotonic() / BUCKET_MS)
  }

  get count(): number {
    return this.#count
  }

  countOf(connection: Connection): number {
    return this.#connections.get(connection.id)?.count ?? 0
  }

  /** @param suspendMs capped at {@link SUSPEND_MS_MAX} */
  park(pull: ParkedPull, suspendMs: number): void {
    const now = this.#clock.monotonic()
    if (this.#count === 0) this.#doneTick = Math.floor(now / BUCKET_MS)
    const deadlineTick = Math.ceil((now + Math.min(suspendMs, SUSPEND_MS_MAX)) / BUCKET_MS)
    // A bucket already looked at comes round again only after the whole wheel.
    const tick = Math.max(deadlineTick, this.#doneTick + 1)
    pull.isParked = true
    pull.bucket = tick % BUCKETS
    this.#count++
    this.#linkQueue(pull)
    this.#linkConnection(pull)
    const head = this.#buckets[pull.bucket]
    pull.nextOfBucket = head
    if (head !== undefined) head.previousOfBucket = pull
    this.#buckets[pull.bucket] = pull
    if (this.#timer === undefined || tick < this.#armedTick) this.#arm(tick)
  }

  /** Takes the pull out of all lists; the caller answers it, or nobody does. */
  remove(pull: ParkedPull): void {
    if (!pull.isParked) return
    pull.isParked = false
    this.#count--
    this.#unlinkQueue(pull)
    this.#unlinkConnection(pull)
    const { previousOfBucket: before, nextOfBucket: after } = pull
    if (before === undefined) this.#buckets[pull.bucket] = after
    else before.nextOfBucket = after
    if (after !== undefined) after.previousOfBucket = before
    pull.previousOfBucket = pull.nextOfBucket = undefined
  }

  removeConnection(connection: Connection): void {
    let pull = this.#connections.get(connection.id)?.head
    while (pull !== undefined) {
      const next = pull.nextOfConnection
      this.remove(pull)
      pull = next
    }
  }

  close(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #arm(tick: number): void {
    this.#timer?.cancel()
    this.#armedTick = tick
    const delayMs = Math.max(0, tick * BUCKET_MS - this.#clock.monotonic())
    this.#timer = this.#clock.setTimer(delayMs, () => this.#onTimer())
  }

  #onTimer(): void {
    this.#timer = undefined
    const nowTick = Math.floor(this.#clock.monotonic() / BUCKET_MS)
    // A process that slept longer than the wheel turns once: no bucket holds more than one round.
    const from = Math.max(this.#doneTick + 1, nowTick - BUCKETS + 1)
    this.#doneTick = Math.max(this.#doneTick, nowTick)
    for (let tick = from; tick <= nowTick; tick++) {
      for (let pull = this.#buckets[tick % BUCKETS]; pull !== undefined; pull = this.#buckets[tick % BUCKETS]) {
        this.remove(pull)
        this.#onDeadline(pull)
      }
    }
    if (this.#timer !== undefined || this.#count === 0) return
    for (let tick = nowTick + 1; tick <= nowTick + BUCKETS; tick++) {
      if (this.#buckets[tick % BUCKETS] !== undefined) return this.#arm(tick)
    }
  }

  #linkQueue(pull: ParkedPull): void {
    const head = pull.queue.waiter as ParkedPull | undefined
    pull.nextOfQueue = head
    if (head !== undefined) head.previousOfQueue = pull
    pull.queue.waiter = pull
  }

  #unlinkQueue(pull: ParkedPull): void {
    const { previousOfQueue: before, nextOfQueue: after } = pull
    if (before === undefined) pull.queue.waiter = after
    else before.nextOfQueue = after
    if (after !== undefined) after.previousOfQueue = before
    pull.previousOfQueue = pull.nextOfQueue = undefined
  }

  #linkConnection(pull: ParkedPull): void {
    let own = this.#connections.get(pull.connection.id)
    if (own === undefined) this.#connections.set(pull.connection.id, (own = { head: undefined, count: 0 }))
    pull.nextOfConnection = own.head
    if (own.head !== undefined) own.head.previousOfConnection = pull
    own.head = pull
    own.count++
  }

  #unlinkConnection(pull: ParkedPull): void {
    const own = this.#connections.get(pull.connection.id)
    const { previousOfConnection: before, nextOfConnection: after } = pull
    if (before !== undefined) before.nextOfConnection = after
    else if (own !== undefined) own.head = after
    if (after !== undefined) after.previousOfConnection = before
    pull.previousOfConnection = pull.nextOfConnection = undefined
    if (own !== undefined && --own.count === 0) this.#connections.delete(pull.connection.id)
  }
}

/** A new pull that {@link ParkedPulls.park} can take. */
export function parkedPull(reader: Reader, offset: number, awaitsMessage: boolean): ParkedPull {
  const { connection, opaque, serialization, group, topic, queue, filter, countMax } = reader
  return {
    connection,
    opaque,
    serialization,
    group,
    topic,
    queue,
    filter,
    countMax,
    offset,
    scannedTo: offset,
    awaitsMessage,
    awaitsTurn: false,
    bucket: 0,
    isParked: false,
    nextOfQueue: undefined,
    previousOfQueue: undefined,
    nextOfConnection: undefined,
    previousOfConnection: undefined,
    nextOfBucket: undefined,
    previousOfBucket: undefined,
  }
}

/** The parked pulls of a queue, as a list that stays while they are answered. */
export function waitersOf(queue: ConsumeQueue): ParkedPull[] {
  const pulls: ParkedPull[] = []
  for (let pull = queue.waiter as ParkedPull | undefined; pull !== undefined; pull = pull.nextOfQueue) pulls.push(pull)
  return pulls
}

/**
 * How far a group is that has consumed everything before `offset`: behind it, what its waiting pull has looked at and its filter refuses
 * is nothing that anybody will get. The group's own offset says so when the pull is answered, up to 20 s later.
 */
export function passedOver(queue: ConsumeQueue, group: string, offset: number): number {
  for (let pull = queue.waiter as ParkedPull | undefined; pull !== undefined; pull = pull.nextOfQueue) {
    if (pull.offset === offset && pull.group.name === group && pull.scannedTo > offset) return pull.scannedTo
  }
  return offset
}
