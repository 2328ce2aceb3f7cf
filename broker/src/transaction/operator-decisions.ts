import type { Outcome } from './half-message.ts'
import type { PendingTransaction } from './types.ts'

const TABLE = 'operatorDecisions'
/** The newest are kept. */
const KEPT_MAX = 10_000

/** One half message that an operator decided by hand: who, when, what, and what came of it. */
export interface OperatorDecision
  extends Pick<
    PendingTransaction,
    'physicalOffset' | 'group' | 'topic' | 'transactionId' | 'messageId' | 'keys' | 'domain'
  > {
  /** Ascending, not reused. */
  id: number
  /** Wall clock ms of the request. */
  at: number
  decision: 'commit' | 'rollback'
  /** Address the request came from. */
  client: string
  /** Who that was and why, as they say themselves; empty when they do not. */
  by: string
  reason: string
  /** Absent when the broker died before it knew: the half message itself says what it is now. */
  outcome?: Outcome
}

interface Journal {
  register(table: string, owner: { apply(entry: unknown): void; snapshot(): Iterable<unknown> }): void
  appendDurable(table: string, entry: unknown): Promise<void>
  commit(): void
}

type Entry = OperatorDecision | { id: number; outcome: Outcome }

/** What operators decided by hand, in the journal: the line is on the disk before the half message is touched. */
export class OperatorDecisions {
  readonly #journal: Journal
  readonly #kept = new Map<number, OperatorDecision>()
  #next = 1

  constructor(options: { journal: Journal }) {
    this.#journal = options.journal
    this.#journal.register(TABLE, {
      apply: (entry) => this.#apply(entry as Entry),
      snapshot: () => this.#kept.values(),
    })
  }

  /**
   * @param resolve settles the half message; called when the line about it is durable, and not at all when it cannot be
   * @throws {StoreError} what the journal throws; nothing was decided then
   */
  async record(line: Omit<OperatorDecision, 'id' | 'outcome'>, resolve: () => Promise<Outcome>): Promise<Outcome> {
    const id = this.#next
    await this.#store({ id, ...line })
    const outcome = await resolve()
    await this.#store({ id, outcome })
    return outcome
  }

  /** Newest first. */
  list(limit: number): OperatorDecision[] {
    return [...this.#kept.values()].toReversed().slice(0, limit)
  }

  #store(entry: Entry): Promise<void> {
    this.#apply(entry)
    const stored = this.#journal.appendDurable(TABLE, entry)
    this.#journal.commit()
    return stored
  }

  #apply(entry: Entry): void {
    const known = this.#kept.get(entry.id)
    if (known !== undefined && entry.outcome !== undefined) known.outcome = entry.outcome
    if (!('decision' in entry)) return
    this.#kept.set(entry.id, { ...entry })
    this.#next = Math.max(this.#next, entry.id + 1)
    if (this.#kept.size <= KEPT_MAX) return
    for (const oldest of this.#kept.keys()) {
      this.#kept.delete(oldest)
      return
    }
  }
}
