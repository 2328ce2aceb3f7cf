import { fieldName, TandemRequestCode } from '@tandemmq/protocol'
import type { GroupOrder, TransactionService } from '../transaction/index.ts'
import type { Handler } from './handler.ts'
import { answer } from './request-body.ts'

const LIST_MAX = 1_000
const limitField = fieldName('limit')

/**
 * TandemMQ's own request about messages that wait for a transaction of their ordering key:
 *
 * - LIST_HELD_GROUPS 9140: ext `limit`, answer `{"groups": [...], "total", "held"}`, longest waiting first. A group is `{"topic", "key",
 *   "held", "heldBytes", "heldForMs", "waitsFor"}`; `waitsFor` is the half message as LIST_TRANSACTIONS shows it, absent while the group
 *   is being released
 */
export function heldGroupHandlers(options: {
  order: GroupOrder
  transactions: TransactionService
}): Map<number, Handler> {
  const { order, transactions } = options
  const list: Handler = (connection, header) => {
    const at = header.find(limitField)
    const limit = at < 0 ? LIST_MAX : Math.min(Math.max(header.integer(at), 0), LIST_MAX)
    const groups = order.list(limit).map(({ waitsFor, ...group }) => {
      return { ...group, waitsFor: waitsFor === undefined ? undefined : transactions.find(waitsFor) }
    })
    const { groups: total, held } = order.stats()
    answer(connection, header, { body: JSON.stringify({ groups, total, held }) })
  }
  return new Map([[TandemRequestCode.LIST_HELD_GROUPS, list]])
}
