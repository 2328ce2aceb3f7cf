import type { AppendCompletion } from '../store/index.ts'
import type { CheckLane } from './check-lanes.ts'
import { type HalfEvent, type HalfState, nextState } from './half-rules.ts'

/** What became of a transaction's message. */
export type Outcome = 'committed' | 'rolledBack' | 'pending' | 'unknown'

/** @param conflict the caller asked for the opposite of `outcome` and was refused */
export type EndDone = (outcome: Outcome, conflict: boolean) => void

/** What a half message is from the beginning. */
export type HalfOrigin =
  | 'group'
  | 'topic'
  | 'queueId'
  | 'domain'
  | 'connectionId'
  | 'firstCheckMs'
  | 'delayed'
  | 'idHash'

export interface HalfMessageOwner {
  settled(half: HalfMessage): void
  inDoubt(half: HalfMessage): void
}

/**
 * One unsettled half message: the only object kept per transaction, and itself the completion of the append that settles
 * it. The message stays in the log.
 */
export class HalfMessage implements AppendCompletion {
  readonly #owner: HalfMessageOwner
  /** Where the half record lies: bytes from the start of the log, entries of the half queue. */
  physicalOffset = -1
  queueOffset = -1
  /** Bytes of the half record. */
  size = 0
  /** Producer group that may end it. */
  readonly group: string
  /** Destination after a commit. */
  readonly topic: string
  readonly queueId: number
  /** Property TANDEM_DOMAIN: who announced it can be asked, whatever its group. */
  readonly domain: string | undefined
  /** Connection that sent it, -1 after a restart. */
  readonly connectionId: number
  /** Store time by the broker's clock, ms since 1970. */
  storedAt = 0
  /** Check-backs handed to a live producer so far: whose turn it is. */
  asked = 0
  /** Check-backs that were answered, with whatever. */
  attempts = 0
  /** Age of the first check-back, ms. */
  readonly firstCheckMs: number
  /** The message is delayed, counted from its commit. */
  readonly delayed: boolean
  /** Hash of the transaction id, to find halves by id without an index. */
  readonly idHash: number
  /** Store time of the settling record. */
  settledAt = 0

  // Owned by the check schedule.
  dueAt = 0
  step = 0
  missed = false
  /** In the schedule; or in the waiting line of a client; or in a request to one. */
  queued: 'no' | 'list' | 'heap' | 'lane' | 'asked' = 'no'
  lane: CheckLane | undefined = undefined
  previous: HalfMessage | undefined = undefined
  next: HalfMessage | undefined = undefined

  #state: HalfState = 'pending'
  #done: EndDone | undefined = undefined
  #joined: { done: EndDone; conflict: boolean }[] | undefined = undefined

  constructor(owner: HalfMessageOwner, origin: Pick<HalfMessage, HalfOrigin>) {
    this.#owner = owner
    this.group = origin.group
    this.topic = origin.topic
    this.queueId = origin.queueId
    this.domain = origin.domain
    this.connectionId = origin.connectionId
    this.firstCheckMs = origin.firstCheckMs
    this.delayed = origin.delayed
    this.idHash = origin.idHash
  }

  get state(): HalfState {
    return this.#state
  }

  /** The only way a state changes; the table in half-rules.ts says which changes exist. */
  meet(event: HalfEvent): void {
    this.#state = nextState(this.#state, event)
  }

  /** Takes the decision; `done` is called when the settling record is stored. */
  decide(decision: 'commit' | 'rollback', done: EndDone): void {
    this.meet(decision)
    this.#done = done
  }

  /** The log refused the settling record outright: as if nobody had decided. */
  undecide(): void {
    this.meet('refusedByLog')
    this.#done = undefined
  }

  /** Answers `done` together with the decision in flight. */
  join(done: EndDone, conflict: boolean): void {
    this.#joined ??= []
    this.#joined.push({ done, conflict })
  }

  stored(): void {
    this.meet('stored')
    this.#owner.settled(this)
    this.#answer(this.#state === 'committed' ? 'committed' : 'rolledBack')
  }

  failed(): void {
    this.meet('failed')
    this.#owner.inDoubt(this)
    this.#answer('pending')
  }

  #answer(outcome: Outcome): void {
    const done = this.#done
    const joined = this.#joined
    this.#done = this.#joined = undefined
    done?.(outcome, false)
    if (joined !== undefined) for (const waiter of joined) waiter.done(outcome, waiter.conflict)
  }
}
