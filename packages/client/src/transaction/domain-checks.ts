import type { CheckAnswer } from '@tandemmq/protocol'
import { encodeCheckAnswers, ResponseCode, TandemRequestCode } from '@tandemmq/protocol'
import type { HeaderView } from '@tandemmq/protocol'
import type { Connection } from '@tandemmq/remoting'
import { ClientError, messageOf } from '../client-error.ts'
import { asArray, asObject, asText } from '../json.ts'
import type { Logger } from '../logger.ts'

/**
 * Asked by the broker what became of many transactions of one domain; one answer per id, in their order. `unknown`: not
 * decided yet, or not to be found out now; `notMine`: another database. Either way somebody else is asked next.
 */
export type DomainCheck = (transactionIds: readonly string[]) => Promise<readonly CheckAnswer[]>

/** CHECK_TRANSACTIONS 9110: the domains this client answers for. A stock broker never asks. */
export class DomainChecks {
  readonly #checks = new Map<string, DomainCheck>()
  readonly #logger: Logger

  constructor(logger: Logger) {
    this.#logger = logger
  }

  get domains(): string[] {
    return [...this.#checks.keys()]
  }

  /** @throws {ClientError} OPTION_INVALID */
  set(domain: string, check: DomainCheck): void {
    if (typeof domain !== 'string' || domain.length === 0 || domain.length > 255) {
      throw new ClientError('OPTION_INVALID', 'a domain has 1 to 255 characters')
    }
    if (typeof check !== 'function') throw new ClientError('OPTION_INVALID', 'check must be a function')
    this.#checks.set(domain, check)
  }

  /** Never rejects: what cannot be found out is answered `unknown`, and asked again later. */
  async answer(connection: Connection, header: HeaderView): Promise<void> {
    const { opaque, serialization } = header
    // Read at once: the bytes belong to the next frame as soon as this call gives way.
    const { domain, transactionIds } = questionOf(header)
    const answers = await this.#answersOf(domain, transactionIds)
    if (!connection.isOpen) return
    const body = Buffer.from(JSON.stringify({ answers: encodeCheckAnswers(answers) }))
    connection.reply({ opaque, serialization }, { code: ResponseCode.SUCCESS, body })
  }

  async #answersOf(domain: string, transactionIds: readonly string[]): Promise<readonly CheckAnswer[]> {
    const check = this.#checks.get(domain)
    if (check === undefined) return transactionIds.map(() => 'notMine')
    try {
      const answers = await check(transactionIds)
      if (answers.length === transactionIds.length) return answers
      this.#logger.error(`the check of ${domain} gave ${answers.length} answers about ${transactionIds.length} ids`)
    } catch (error) {
      this.#logger.warn(`the check of ${domain} failed, answered unknown: ${messageOf(error)}`)
    }
    return transactionIds.map(() => 'unknown')
  }
}

/** @throws {Error} the broker's question makes no sense */
function questionOf(header: HeaderView): { domain: string; transactionIds: string[] } {
  const body = asObject(JSON.parse(header.bytes.toString('utf8', header.bodyStart, header.bodyEnd)))
  return { domain: asText(body['domain']), transactionIds: asArray(body['transactionIds']).map(asText) }
}

export const isDomainCheck = ({ code }: HeaderView): boolean => code === TandemRequestCode.CHECK_TRANSACTIONS
