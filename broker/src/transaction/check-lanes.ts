import { type CheckAnswer, TandemError } from '@tandemmq/protocol'
import type { HalfMessage } from './half-message.ts'

/** A client that answers many check-backs of one domain in one request. One object per connection and domain. */
export interface CheckPeer {
  /** Of its connection. */
  readonly connectionId: number
  readonly domain: string
  /**
   * One request.
   * @returns one answer per id, in their order
   * @throws {TandemError} CONNECTION_CLOSED; anything else: the client said nothing in time, or nothing that makes sense
   */
  check(transactionIds: readonly string[]): Promise<CheckAnswer[]>
}

/** What the lanes tell the one that fills them. */
export interface CheckLaneOwner {
  /** Undefined when the half cannot be read now. */
  transactionIdOf(half: HalfMessage): string | undefined
  /** It left the lane and was not asked about. */
  unreadable(half: HalfMessage): void
  asking(half: HalfMessage): void
  answered(half: HalfMessage, answer: CheckAnswer): void
  /** @param isGone the connection broke: somebody else can be asked at once */
  unanswered(half: HalfMessage, isGone: boolean): void
  /** It left the lane unasked: another client may know. */
  released(half: HalfMessage): void
  /** Calls {@link CheckLanes.pump} in another turn. */
  schedulePump(): void
}

/** The waiting line of one client and domain, linked through the half messages. */
export interface CheckLane {
  readonly peer: CheckPeer
  head: HalfMessage | undefined
  tail: HalfMessage | undefined
  inFlight: number
}

interface Batch {
  readonly transactionIds: string[]
  readonly halves: HalfMessage[]
  /** By half: place of its transaction id. */
  readonly places: number[]
}

/** Of one request: ids, halves, and bytes read from the log to learn the ids. */
const IDS_MAX = 500
const HALVES_MAX = 2_000
const READ_BYTES_MAX = 4 << 20
/** Requests under way per client and domain. */
const WINDOW = 4

/**
 * Due check-backs on their way to clients that take many at once: a waiting line per client, and a window of requests, so
 * that neither memory nor a connection depends on how many are due.
 */
export class CheckLanes {
  readonly #owner: CheckLaneOwner
  readonly #lanes = new Map<CheckPeer, CheckLane>()
  readonly #silent = new Set<number>()
  #pumping = false
  /** Requests sent. */
  requests = 0

  constructor(owner: CheckLaneOwner) {
    this.#owner = owner
  }

  /** Puts a due half into the waiting line of `peer`. */
  add(half: HalfMessage, peer: CheckPeer): void {
    let lane = this.#lanes.get(peer)
    if (lane === undefined) this.#lanes.set(peer, (lane = { peer, head: undefined, tail: undefined, inFlight: 0 }))
    half.queued = 'lane'
    half.lane = lane
    half.previous = lane.tail
    if (lane.tail === undefined) lane.head = half
    else lane.tail.next = half
    lane.tail = half
    this.#pumpSoon()
  }

  /** Takes a half out of its waiting line: it was decided meanwhile. */
  remove(half: HalfMessage): void {
    const { lane } = half
    if (lane === undefined) return
    if (half.previous === undefined) lane.head = half.next
    else half.previous.next = half.next
    if (half.next === undefined) lane.tail = half.previous
    else half.next.previous = half.previous
    half.previous = half.next = half.lane = undefined
    half.queued = 'no'
  }

  /** One more request for every client whose window has room. */
  pump(): void {
    this.#pumping = false
    let more = false
    for (const lane of this.#lanes.values()) {
      if (lane.head !== undefined && lane.inFlight < this.#windowOf(lane)) this.#send(lane)
      if (lane.head === undefined && lane.inFlight === 0) this.#lanes.delete(lane.peer)
      else if (lane.head !== undefined && lane.inFlight < this.#windowOf(lane)) more = true
    }
    if (more) this.#pumpSoon()
  }

  /** The last request through this connection was not answered in time. */
  isSilent(connectionId: number): boolean {
    return this.#silent.has(connectionId)
  }

  connectionClosed(connectionId: number): void {
    this.#silent.delete(connectionId)
  }

  #windowOf(lane: CheckLane): number {
    return this.#silent.has(lane.peer.connectionId) ? 1 : WINDOW
  }

  #pumpSoon(): void {
    if (this.#pumping) return
    this.#pumping = true
    this.#owner.schedulePump()
  }

  #send(lane: CheckLane): void {
    const batch = this.#take(lane)
    if (batch.halves.length === 0) return
    lane.inFlight++
    this.requests++
    const { connectionId } = lane.peer
    lane.peer.check(batch.transactionIds).then(
      (answers) => {
        lane.inFlight--
        this.#silent.delete(connectionId)
        for (const [n, half] of batch.halves.entries()) {
          this.#owner.answered(half, answers[batch.places[n] as number] as CheckAnswer)
        }
        this.#pumpSoon()
      },
      (error: unknown) => {
        lane.inFlight--
        const isGone = error instanceof TandemError && error.code === 'CONNECTION_CLOSED'
        if (!isGone) this.#silent.add(connectionId)
        for (const half of batch.halves) this.#owner.unanswered(half, isGone)
        this.#release(lane)
        this.#pumpSoon()
      },
    )
  }

  /** The next halves of the line; those of one transaction share an id. */
  #take(lane: CheckLane): Batch {
    const batch: Batch = { transactionIds: [], halves: [], places: [] }
    const placeOf = new Map<string, number>()
    let bytes = 0
    for (let half = lane.head; half !== undefined && bytes < READ_BYTES_MAX; half = lane.head) {
      if (batch.halves.length >= HALVES_MAX) break
      const id = this.#owner.transactionIdOf(half)
      bytes += half.size
      let place = id === undefined ? undefined : placeOf.get(id)
      if (id !== undefined && place === undefined && batch.transactionIds.length >= IDS_MAX) break
      this.remove(half)
      if (id === undefined) {
        this.#owner.unreadable(half)
        continue
      }
      if (place === undefined) placeOf.set(id, (place = batch.transactionIds.push(id) - 1))
      batch.halves.push(half)
      batch.places.push(place)
      half.queued = 'asked'
      this.#owner.asking(half)
    }
    return batch
  }

  #release(lane: CheckLane): void {
    // Only what waits now: whoever is picked again stands behind it.
    const last = lane.tail
    for (let half = lane.head; half !== undefined; half = lane.head) {
      this.remove(half)
      this.#owner.released(half)
      if (half === last) break
    }
  }
}
