import { fieldName, ResponseCode, TandemRequestCode } from '@tandemmq/protocol'
import type { Clock } from '@tandemmq/remoting'
import { BrokerError } from '../broker-error.ts'
import type { OperatorDecisions, TransactionService } from '../transaction/index.ts'
import type { Handler } from './handler.ts'
import { answer, answerAfter, integerOr, jsonBody } from './request-body.ts'

const LISTED_MAX = 10_000
const BY_LENGTH_MAX = 200
const REASON_LENGTH_MAX = 1_000

const limitField = fieldName('limit')

/**
 * What an operator decides by hand:
 *
 * - RESOLVE_TRANSACTION 9103: body `{"physicalOffset": n, "decision": "commit" | "rollback", "by"?: text, "reason"?: text}`,
 *   answer `{"outcome": ...}`; the line about it is durable before the half message is touched
 * - LIST_RESOLVED_TRANSACTIONS 9112: ext `limit` (default 1,000), answer `{"resolved": [...]}` ({@link OperatorDecision}),
 *   newest first, of the last 10,000
 */
export function operatorTransactionHandlers(options: {
  clock: Pick<Clock, 'now'>
  transactions: TransactionService
  decisions: OperatorDecisions
  /** One line for the log as well. */
  audit?: (line: string) => void
}): Map<number, Handler> {
  const { clock, transactions, decisions, audit } = options

  const resolve: Handler = (connection, header) => {
    const { physicalOffset, decision, by, reason } = requestOf(jsonBody(header))
    const client = `${connection.remoteAddress}:${connection.remotePort}`
    const { group, topic, transactionId, messageId, keys, domain } = transactions.find(physicalOffset) ?? nothing
    const line = { at: clock.now(), decision, client, by, reason, physicalOffset, group, topic, transactionId }
    const named = { ...line, messageId, keys, ...(domain !== undefined && { domain }) }
    const work = decisions
      .record(named, () => transactions.resolve(physicalOffset, decision))
      .then((outcome) => {
        const who = by === '' ? client : `${by} (${client})`
        const why = reason === '' ? '' : `: ${reason}`
        audit?.(`${who} resolved the half message at ${physicalOffset}: ${decision}, now ${outcome}${why}`)
        return outcome
      })
    answerAfter(connection, header, work, (outcome, request) =>
      answer(connection, request, { body: JSON.stringify({ outcome }) }),
    )
  }

  const list: Handler = (connection, header) => {
    const limit = Math.min(Math.max(integerOr(header, limitField, 1_000), 0), LISTED_MAX)
    const resolved = decisions.list(limit).map((line) => {
      return { ...line, outcome: line.outcome ?? transactions.outcomeAt(line.physicalOffset) }
    })
    answer(connection, header, { code: ResponseCode.SUCCESS, body: JSON.stringify({ resolved }) })
  }

  return new Map([
    [TandemRequestCode.RESOLVE_TRANSACTION, resolve],
    [TandemRequestCode.LIST_RESOLVED_TRANSACTIONS, list],
  ])
}

const nothing = { group: '', topic: '', transactionId: '', messageId: '', keys: '', domain: undefined }

/** @throws {BrokerError} INVALID_PARAMETER */
function requestOf(body: unknown) {
  if (typeof body !== 'object' || body === null) {
    throw new BrokerError('INVALID_PARAMETER', 'the body is no JSON object')
  }
  const { physicalOffset, decision, by, reason } = body as Record<string, unknown>
  if (typeof physicalOffset !== 'number' || !Number.isSafeInteger(physicalOffset) || physicalOffset < 0) {
    throw new BrokerError('INVALID_PARAMETER', 'physicalOffset must be a number >= 0')
  }
  if (decision !== 'commit' && decision !== 'rollback') {
    throw new BrokerError('INVALID_PARAMETER', 'decision must be "commit" or "rollback"')
  }
  return {
    physicalOffset,
    decision: decision as 'commit' | 'rollback',
    by: shortText(by, 'by', BY_LENGTH_MAX),
    reason: shortText(reason, 'reason', REASON_LENGTH_MAX),
  }
}

function shortText(value: unknown, name: string, lengthMax: number): string {
  if (value === undefined || value === null) return ''
  if (typeof value === 'string' && value.length <= lengthMax) return value
  throw new BrokerError('INVALID_PARAMETER', `${name} must be a text of at most ${lengthMax} characters`)
}
