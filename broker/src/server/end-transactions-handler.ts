import { EndReader, EndResult, Field, ProtocolError, ResponseCode, TandemError } from '@tandemmq/protocol'
import type { Connection } from '@tandemmq/remoting'
import type { Decision, EndRequest, Outcome, TransactionService } from '../transaction/index.ts'
import type { Handler } from './handler.ts'

/** EndTransactionRequestHeader.commitOrRollback (remoting.md 2C). */
export const endDecisions: Readonly<Record<number, Decision>> = { 0: 'unknown', 8: 'commit', 12: 'rollback' }

/** Outcomes of one request; the answer goes out with the last of them. */
class EndBatch {
  readonly #connection: Connection
  readonly #request: { readonly opaque: number; readonly serialization: 0 | 1 } | undefined
  readonly #results: Buffer
  #left: number

  constructor(connection: Connection, header: Parameters<Handler>[1], count: number) {
    const { opaque, serialization } = header
    this.#connection = connection
    this.#request = header.isOneway ? undefined : { opaque, serialization }
    this.#results = Buffer.alloc(count)
    this.#left = count
  }

  ended(n: number, outcome: Outcome, conflict: boolean): void {
    this.#results[n] = EndResult[outcome] | (conflict ? EndResult.CONFLICT : 0)
    if (--this.#left > 0 || this.#request === undefined || !this.#connection.isOpen) return
    this.#connection.reply(this.#request, { code: ResponseCode.SUCCESS, body: this.#results })
  }
}

/**
 * END_TRANSACTIONS 9111 (layout: protocol/transaction-batch.ts): each entry by the same rules as END_TRANSACTION, one answer
 * when all of them are as safe as the flush policy promises. `pending` for a commit or rollback: the store takes nothing now.
 */
export function endTransactionsHandler(transactions: TransactionService): Handler {
  const request: EndRequest = { group: '', queueOffset: 0, physicalOffset: 0, decision: 'unknown', fromCheck: false }
  return (connection, header) => {
    request.group = header.requireText(Field.producerGroup)
    const ends = new EndReader(header.bytes, header.bodyStart, header.bodyEnd)
    for (let n = 0; n < ends.count; n++) {
      ends.read(n)
      // Before the first one is ended: all of them count, or the request is nonsense and none does.
      if (endDecisions[ends.decision] === undefined) {
        throw new ProtocolError('FIELD_INVALID', `decision ${ends.decision} of entry ${n} is none of 0, 8, 12`)
      }
    }
    const batch = new EndBatch(connection, header, ends.count)
    for (let n = 0; n < ends.count; n++) {
      ends.read(n)
      request.queueOffset = ends.queueOffset
      request.physicalOffset = ends.physicalOffset
      request.decision = endDecisions[ends.decision] as Decision
      try {
        transactions.end(request, (outcome, conflict) => batch.ended(n, outcome, conflict))
      } catch (error) {
        if (!(error instanceof TandemError)) throw error
        batch.ended(n, 'pending', false)
      }
    }
  }
}
