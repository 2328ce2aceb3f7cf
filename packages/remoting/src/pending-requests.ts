import type { HeaderView } from '@tandemmq/protocol'
import type { Clock, Timer } from './clock.ts'
import { RemotingError } from './remoting-error.ts'

/** Waits for one answer; exactly one of the two is called, once. */
export interface ReplyHandler {
  /** `header` is valid during the call only. */
  onReply(header: HeaderView): void
  /** REQUEST_TIMEOUT, CONNECTION_CLOSED or ABORTED. */
  onFailure(error: RemotingError): void
}

const CAPACITY_AT_START = 16
/** A timer that late tells that this process stood still: the answers may be here, unread, because timers come before sockets. */
const STALL_MS = 500

/**
 * Requests of one connection that wait for their answer. A ring indexed by the low bits of the opaque number: 1 ns
 * instead of the 34 ns of a Map. One timer, armed for the earliest deadline, serves all of them.
 */
export class PendingRequests {
  #clock: Clock
  #handlers: (ReplyHandler | undefined)[] = emptySlots(CAPACITY_AT_START)
  #opaques = new Int32Array(CAPACITY_AT_START)
  #deadlines = new Float64Array(CAPACITY_AT_START)
  #timeouts = new Float64Array(CAPACITY_AT_START)
  #mask = CAPACITY_AT_START - 1
  #nextOpaque = 0
  #count = 0
  #timer: Timer | undefined
  #armedFor = Number.POSITIVE_INFINITY
  #isAfterStall = false
  #sweep = (): void => this.#expire()
  #onExpired: ((askedAt: number) => void) | undefined

  /**
   * @param firstOpaque where the numbers begin; any i32, they wrap
   * @param onExpired told when requests got no answer in time, with when the first of them was sent (monotonic ms)
   */
  constructor(clock: Clock, firstOpaque = 0, onExpired?: (askedAt: number) => void) {
    this.#clock = clock
    this.#onExpired = onExpired
    this.#nextOpaque = firstOpaque
  }

  get count(): number {
    return this.#count
  }

  /** @returns the opaque number its frame must carry */
  add(handler: ReplyHandler, timeoutMs: number): number {
    if (this.#count * 2 >= this.#handlers.length) this.#grow()
    // A slot may still belong to an older, slower request (a long poll): its number is simply not used this time round.
    while (this.#handlers[this.#nextOpaque & this.#mask] !== undefined) this.#nextOpaque = (this.#nextOpaque + 1) | 0
    const opaque = this.#nextOpaque
    this.#nextOpaque = (opaque + 1) | 0
    const slot = opaque & this.#mask
    const deadline = this.#clock.monotonic() + timeoutMs
    this.#handlers[slot] = handler
    this.#opaques[slot] = opaque
    this.#deadlines[slot] = deadline
    this.#timeouts[slot] = timeoutMs
    this.#count++
    if (deadline < this.#armedFor) this.#arm(deadline)
    return opaque
  }

  nextOneway(): number {
    const opaque = this.#nextOpaque
    this.#nextOpaque = (opaque + 1) | 0
    return opaque
  }

  /** @returns undefined for an answer nobody waits for (any more) */
  take(opaque: number): ReplyHandler | undefined {
    const slot = opaque & this.#mask
    const handler = this.#handlers[slot]
    if (handler === undefined || this.#opaques[slot] !== opaque) return undefined
    this.#handlers[slot] = undefined
    this.#count--
    return handler
  }

  /** Fails all of them; the connection is gone. */
  failAll(error: RemotingError): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#armedFor = Number.POSITIVE_INFINITY
    const handlers = this.#handlers
    this.#handlers = emptySlots(handlers.length)
    this.#count = 0
    for (const handler of handlers) handler?.onFailure(error)
  }

  #arm(deadline: number): void {
    this.#timer?.cancel()
    this.#armedFor = deadline
    this.#timer = this.#clock.setTimer(Math.max(0, deadline - this.#clock.monotonic()), this.#sweep)
  }

  #expire(): void {
    const now = this.#clock.monotonic()
    this.#isAfterStall = !this.#isAfterStall && now - this.#armedFor > STALL_MS
    if (this.#isAfterStall) {
      this.#timer = this.#clock.setTimer(1, this.#sweep)
      return
    }
    let earliest = Number.POSITIVE_INFINITY
    let askedAt = Number.POSITIVE_INFINITY
    const expired: [ReplyHandler, number][] = []
    for (let slot = 0; slot < this.#handlers.length; slot++) {
      const handler = this.#handlers[slot]
      if (handler === undefined) continue
      const deadline = this.#deadlines[slot] ?? 0
      if (deadline > now) {
        if (deadline < earliest) earliest = deadline
        continue
      }
      this.#handlers[slot] = undefined
      this.#count--
      const timeoutMs = this.#timeouts[slot] ?? 0
      askedAt = Math.min(askedAt, deadline - timeoutMs)
      expired.push([handler, timeoutMs])
    }
    this.#timer = undefined
    this.#armedFor = Number.POSITIVE_INFINITY
    if (earliest < Number.POSITIVE_INFINITY) this.#arm(earliest)
    for (const [handler, timeoutMs] of expired) {
      handler.onFailure(new RemotingError('REQUEST_TIMEOUT', `no answer within ${timeoutMs} ms`))
    }
    if (expired.length > 0) this.#onExpired?.(askedAt)
  }

  #grow(): void {
    const handlers = this.#handlers
    const opaques = this.#opaques
    const deadlines = this.#deadlines
    const timeouts = this.#timeouts
    const capacity = handlers.length * 2
    this.#handlers = emptySlots(capacity)
    this.#opaques = new Int32Array(capacity)
    this.#deadlines = new Float64Array(capacity)
    this.#timeouts = new Float64Array(capacity)
    this.#mask = capacity - 1
    for (let from = 0; from < handlers.length; from++) {
      if (handlers[from] === undefined) continue
      // Numbers that differ in their low bits still differ in one bit more: no two meet in a slot.
      const slot = (opaques[from] ?? 0) & this.#mask
      this.#handlers[slot] = handlers[from]
      this.#opaques[slot] = opaques[from] ?? 0
      this.#deadlines[slot] = deadlines[from] ?? 0
      this.#timeouts[slot] = timeouts[from] ?? 0
    }
  }
}

function emptySlots(count: number): (ReplyHandler | undefined)[] {
  return Array.from({ length: count }, () => undefined)
}
