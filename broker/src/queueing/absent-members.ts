import { TandemError } from '@tandemmq/protocol'
import type { Clock, Timer } from '@tandemmq/remoting'
import type { Journal } from './state-table.ts'

const TABLE = 'members'
/** Stock clients tell a broker that came back about themselves within 30 s, their heartbeat's interval. */
const STOCK_REJOIN_MS = 30_000

/** How long a member may be away before its queues go to others, ms. */
export interface Rejoin {
  /** After a restart of the broker. Default 30,000. */
  readonly restartMs?: number | undefined
  /** After its connection closed without a farewell. Default 0. */
  readonly absenceMs?: number | undefined
}

interface Known {
  restartMs: number
  absenceMs: number
  /** Monotonic ms until which it is waited for; undefined = it is here. */
  until: number | undefined
}

type Entry =
  | { group: string; joined: string; restartMs: number; absenceMs: number }
  | { group: string; left: string }
  | { deleteGroup: string }

/**
 * Members that are expected back. When a broker restarts, members come one by one, and each client computes its share from the
 * list it is given: without the missing ones in it, the first to come takes the queues of all others from their last commit
 * (broker.md 7.4). So the members of each group are kept in the journal table `members`, and count until they are back, said
 * farewell, or their time is over.
 */
export class AbsentMembers {
  readonly #clock: Clock
  readonly #journal: Journal
  readonly #onGone: (group: string, clientId: string) => void
  readonly #graceMs: number
  readonly #groups = new Map<string, Map<string, Known>>()
  #timer: Timer | undefined
  #isClosed = false

  /**
   * Reads the journal's table.
   * @param options.graceMs longest wait after a restart for who did not ask for more, default Infinity; 0 = none
   * @param options.onGone called when somebody of the group has left and is not, or no longer, waited for
   */
  constructor(options: {
    clock: Clock
    journal: Journal
    graceMs?: number | undefined
    onGone: (group: string, clientId: string) => void
  }) {
    this.#clock = options.clock
    this.#journal = options.journal
    this.#graceMs = options.graceMs ?? Number.POSITIVE_INFINITY
    this.#onGone = options.onGone
    this.#journal.register(TABLE, {
      apply: (entry) => this.#apply(entry as Entry),
      snapshot: () => this.#snapshot(),
    })
    for (const members of this.#groups.values()) {
      for (const known of members.values()) known.until = this.#clock.monotonic() + this.#restartMsOf(known)
    }
    this.#arm()
  }

  /** Client ids the group waits for. */
  *of(group: string): Iterable<string> {
    const now = this.#clock.monotonic()
    for (const [clientId, { until }] of this.#groups.get(group) ?? []) {
      if (until !== undefined && until > now) yield clientId
    }
  }

  joined(group: string, clientId: string, rejoin: Rejoin = {}): void {
    const { restartMs = STOCK_REJOIN_MS, absenceMs = 0 } = rejoin
    let members = this.#groups.get(group)
    if (members === undefined) this.#groups.set(group, (members = new Map()))
    const known = members.get(clientId)
    members.set(clientId, { restartMs, absenceMs, until: undefined })
    if (known?.restartMs === restartMs && known.absenceMs === absenceMs) return
    this.#record({ group, joined: clientId, restartMs, absenceMs })
  }

  /** @param isFarewell it said that it goes; else its connection broke or was silent for too long */
  left(group: string, clientId: string, isFarewell: boolean): void {
    // A broker that goes down closes everybody's connection, and will want to know who was here.
    if (this.#isClosed) return
    const known = this.#groups.get(group)?.get(clientId)
    if (known === undefined) return
    if (isFarewell || known.absenceMs === 0) return this.#forget(group, clientId)
    known.until = this.#clock.monotonic() + known.absenceMs
    this.#arm()
  }

  deleteGroup(group: string): void {
    if (this.#groups.delete(group)) this.#record({ deleteGroup: group })
  }

  /** From now on nobody leaves any more. */
  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
  }

  #forget(group: string, clientId: string): void {
    this.#drop(group, clientId)
    this.#record({ group, left: clientId })
    this.#onGone(group, clientId)
  }

  /** Who is here must be told also by a broker whose disk failed: it says so wherever it matters. */
  #record(entry: Entry): void {
    try {
      this.#journal.append(TABLE, entry)
    } catch (error) {
      if (!(error instanceof TandemError)) throw error
    }
  }

  #drop(group: string, clientId: string): void {
    const members = this.#groups.get(group)
    members?.delete(clientId)
    if (members?.size === 0) this.#groups.delete(group)
  }

  /** A member that asked for more patience gets it after a restart as well. */
  #restartMsOf({ restartMs, absenceMs }: Known): number {
    return Math.max(Math.min(this.#graceMs, restartMs), absenceMs)
  }

  #arm(): void {
    let next = Number.POSITIVE_INFINITY
    for (const members of this.#groups.values()) {
      for (const { until } of members.values()) if (until !== undefined && until < next) next = until
    }
    this.#timer?.cancel()
    if (next === Number.POSITIVE_INFINITY || this.#isClosed) return
    this.#timer = this.#clock.setTimer(Math.max(0, next - this.#clock.monotonic()), () => this.#sweep())
  }

  #sweep(): void {
    const now = this.#clock.monotonic()
    for (const [group, members] of this.#groups) {
      for (const [clientId, { until }] of members) {
        if (until !== undefined && until <= now) this.#forget(group, clientId)
      }
    }
    this.#arm()
  }

  #apply(entry: Entry): void {
    if ('deleteGroup' in entry) this.#groups.delete(entry.deleteGroup)
    else if ('left' in entry) this.#drop(entry.group, entry.left)
    else {
      const { group, joined, restartMs, absenceMs } = entry
      let members = this.#groups.get(group)
      if (members === undefined) this.#groups.set(group, (members = new Map()))
      members.set(joined, { restartMs, absenceMs, until: undefined })
    }
  }

  *#snapshot(): Iterable<Entry> {
    for (const [group, members] of this.#groups) {
      for (const [joined, { restartMs, absenceMs }] of members) yield { group, joined, restartMs, absenceMs }
    }
  }
}
