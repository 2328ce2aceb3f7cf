import { transactionIdOf } from '../message.ts'
import type { CheckAnswer, CheckedDomain, CheckedMessage, DomainAnswer } from '../settlement/half-sender.ts'
import { DOMAIN } from '../settlement/half-sender.ts'
import type { MarkerState, Resolver } from './resolver.ts'

const answers: Readonly<Record<MarkerState, DomainAnswer>> = {
  C: 'commit',
  // Forwarded through the outbox table: what arrives there must not arrive twice.
  F: 'rollback',
  R: 'rollback',
  running: 'unknown',
  unavailable: 'unknown',
  notMine: 'notMine',
}

/**
 * What the broker is told when it asks about transactions of this database, one by one or many at once. Asks that arrive
 * together share one statement ({@link Resolver}); transactions of this very process that still run cost none.
 */
export class CheckAnswers implements CheckedDomain {
  readonly id: string
  readonly #resolver: Pick<Resolver, 'check'>
  readonly #isRunning: (transactionId: string) => boolean
  /** Since the start, by what was said; `notMine` only of many at once. */
  readonly counts: Record<DomainAnswer, number> = { commit: 0, rollback: 0, unknown: 0, notMine: 0 }

  constructor(options: {
    resolver: Pick<Resolver, 'check'>
    domainId: string
    /** Default: no transaction runs in this process. */
    isRunning?: (transactionId: string) => boolean
  }) {
    this.id = options.domainId
    this.#resolver = options.resolver
    this.#isRunning = options.isRunning ?? (() => false)
  }

  /** Transactions asked about. */
  get checks(): number {
    const { commit, rollback, unknown, notMine } = this.counts
    return commit + rollback + unknown + notMine
  }

  /** A broker that asks by message, of any producer of the group. */
  async checkMessage(message: CheckedMessage): Promise<CheckAnswer> {
    if (message.properties[DOMAIN] !== this.id) return 'unknown'
    const answer = await this.#answer(transactionIdOf(message.properties))
    return answer === 'notMine' ? 'unknown' : answer
  }

  check(transactionIds: readonly string[]): Promise<DomainAnswer[]> {
    return Promise.all(transactionIds.map((transactionId) => this.#answer(transactionId)))
  }

  async #answer(transactionId: string): Promise<DomainAnswer> {
    const isRunning = this.#isRunning(transactionId)
    const answer = isRunning ? 'unknown' : answers[(await this.#resolver.check(transactionId)).state]
    this.counts[answer]++
    return answer
  }
}
