import type { OutgoingMessage } from './foundation.ts'
import { OutboxError } from './outbox-error.ts'
import type {
  CheckAnswer,
  CheckedMessage,
  Decision,
  EndOutcome,
  Half,
  HalfMessage,
  HalfSender,
} from './settlement/half-sender.ts'
import { DEDUP_KEY, TRANSACTION_ID } from './settlement/half-sender.ts'

type Fate = 'pending' | 'committed' | 'rolledBack'

export interface StoredHalf {
  readonly message: HalfMessage
  fate: Fate
}

/**
 * For tests of this package: a broker's half table in memory, shared by any number of senders, with faults. `delivered`
 * is what consumers would see.
 */
export class FakeBroker {
  readonly halves: StoredHalf[] = []
  readonly delivered: OutgoingMessage[] = []
  readonly log: string[] = []
  conflicts = 0
  /** Nobody answers. */
  away = false
  /** Topics of brokers that do not answer. */
  readonly awayTopics = new Set<string>()
  /** Ends are lost on their way. */
  loseEnds = false
  /** Called before a half is stored; its promise delays the store. */
  beforeHalf: ((message: HalfMessage) => Promise<void> | void) | undefined
  /** Called after a half is stored, before the acknowledgement. */
  beforeAck: ((message: HalfMessage) => Promise<void> | void) | undefined
  readonly #seen = new Map<string, StoredHalf | 'message'>()
  readonly #checkers = new Set<(message: CheckedMessage) => Promise<CheckAnswer>>()

  sender(): HalfSender {
    let check: ((message: CheckedMessage) => Promise<CheckAnswer>) | undefined
    return {
      start: async (callback) => {
        check = callback
        this.#checkers.add(callback)
      },
      close: async () => {
        if (check !== undefined) this.#checkers.delete(check)
      },
      prepare: (message, options) => this.#prepare(message, options.timeoutMs),
      endMany: async (ends) => {
        this.#requireHere()
        this.log.push(`ends ${ends.length}`)
        if (this.loseEnds) throw new OutboxError('REQUEST_TIMEOUT', 'the end was lost')
        return ends.map(({ half, decision }) => this.end(half.opaque as StoredHalf, decision))
      },
      pendingOf: async (ids) => {
        this.#requireHere()
        this.log.push('asked')
        const pending = new Set(this.pending().map((half) => half.message.transactionId))
        return ids.filter((id) => pending.has(id))
      },
      send: async (message) => {
        this.#requireHere(message.topic)
        const key = `${message.topic} ${message.dedupKey}`
        if (this.#seen.has(key)) return
        this.#seen.set(key, 'message')
        this.delivered.push(message)
      },
    }
  }

  #requireHere(topic = ''): void {
    if (topic !== '') this.log.push(`tried ${topic}`)
    if (this.away || this.awayTopics.has(topic)) throw new OutboxError('CONNECT_FAILED', 'the broker is away')
  }

  async #prepare(message: HalfMessage, timeoutMs: number): Promise<Half> {
    this.log.push('half')
    this.#requireHere(message.topic)
    await this.beforeHalf?.(message)
    // The dedup window of the real broker covers half messages and plain ones alike.
    const key = `${message.topic} ${message.dedupKey}`
    const known = this.#seen.get(key)
    if (known === 'message') throw new OutboxError('SYSTEM_ERROR', `half ${key} after a message of that key`)
    const stored = known ?? { message, fate: 'pending' as Fate }
    if (known === undefined) {
      this.#seen.set(key, stored)
      this.halves.push(stored)
    }
    await this.beforeAck?.(message)
    if (timeoutMs <= 0) throw new OutboxError('REQUEST_TIMEOUT', 'no time')
    return { opaque: stored }
  }

  pending(): StoredHalf[] {
    return this.halves.filter((half) => half.fate === 'pending')
  }

  end(half: StoredHalf, decision: Decision): EndOutcome {
    this.log.push(`end ${decision}`)
    const wanted: Fate = decision === 'commit' ? 'committed' : 'rolledBack'
    if (half.fate !== 'pending' && half.fate !== wanted) this.conflicts++
    if (half.fate === 'pending') {
      half.fate = wanted
      if (wanted === 'committed') this.delivered.push(half.message)
    }
    return half.fate === 'committed' ? 'committed' : 'rolledBack'
  }

  /** Asks every producer about every pending half, once. @returns the answers */
  async checkBack(): Promise<CheckAnswer[]> {
    const answers: CheckAnswer[] = []
    for (const half of this.pending()) {
      for (const check of this.#checkers) {
        const { properties, dedupKey } = half.message
        // As an Apache broker does it: the transaction id is overwritten with the unique key.
        const own = { [DEDUP_KEY]: dedupKey, [TRANSACTION_ID]: 'C00002022BB86BDBF22E681DC75C0000' }
        const answer = await check({ properties: { ...properties, ...own } })
        answers.push(answer)
        if (answer !== 'unknown' && half.fate === 'pending') this.end(half, answer)
      }
    }
    return answers
  }
}
