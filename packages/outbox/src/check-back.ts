import type { CheckAnswer, CheckedMessage, DomainAnswer } from './half-sender.ts'
import { DOMAIN } from './half-sender.ts'
import { transactionIdOf } from './message.ts'
import type { MarkerState, Resolver } from './resolver.ts'

export interface CheckBackOptions {
  resolver: Resolver
  domainId: string
  /** Transactions of this very process that are not decided yet: nobody need ask the database. */
  isRunning?(transactionId: string): boolean
}

/** Answers brokers: about one half message, as every broker asks, and about many transactions of the domain at once. */
export class CheckBack {
  /** By what was answered; `notMine` only of questions about many. */
  readonly answers: Record<DomainAnswer, number> = { commit: 0, rollback: 0, unknown: 0, notMine: 0 }
  readonly #options: CheckBackOptions

  constructor(options: CheckBackOptions) {
    this.#options = options
  }

  /** Questions answered from the database or from memory. */
  get checks(): number {
    const { commit, rollback, unknown, notMine } = this.answers
    return commit + rollback + unknown + notMine
  }

  /** Never rejects. */
  async one(message: CheckedMessage): Promise<CheckAnswer> {
    if (message.properties[DOMAIN] !== this.#options.domainId) return 'unknown'
    const answer = await this.#answer(transactionIdOf(message.properties))
    this.answers[answer]++
    return answer === 'notMine' ? 'unknown' : answer
  }

  /** Never rejects. One answer for each id, in their order. */
  async many(transactionIds: readonly string[]): Promise<DomainAnswer[]> {
    const answers = await Promise.all(transactionIds.map((id) => this.#answer(id)))
    for (const answer of answers) this.answers[answer]++
    return answers
  }

  async #answer(transactionId: string): Promise<DomainAnswer> {
    const { resolver, isRunning } = this.#options
    if (isRunning?.(transactionId) === true) return 'unknown'
    return answerOf((await resolver.check(transactionId)).state)
  }
}

function answerOf(state: MarkerState): DomainAnswer {
  if (state === 'C') return 'commit'
  if (state === 'F' || state === 'R') return 'rollback'
  return state === 'notMine' ? 'notMine' : 'unknown'
}
