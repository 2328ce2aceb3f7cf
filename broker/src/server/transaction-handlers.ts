import {
  type CommandInit,
  encodeRecord,
  Field,
  fieldName,
  offsetMessageId,
  PropertyName,
  ProtocolError,
  RequestCode,
  ResponseCode,
  TandemRequestCode,
} from '@tandemmq/protocol'
import { BrokerError } from '../broker-error.ts'
import { decimalAt, propertyHead, PropertyRewriter } from '../property-rewriter.ts'
import { RecordCopy } from '../record-copy.ts'
import type { Decision, EndDone, EndRequest, HalfMessage, TransactionService } from '../transaction/index.ts'
import { endDecisions, endTransactionsHandler } from './end-transactions-handler.ts'
import type { Handler } from './handler.ts'

const LIST_MAX = 1_000
const IDS_MAX = 10_000

const nobodyAsks: EndDone = () => {}
const limitField = fieldName('limit')

/**
 * END_TRANSACTION, and TandemMQ's own requests about open transactions:
 *
 * - END_TRANSACTIONS 9111: many ends in one request, {@link endTransactionsHandler}
 * - PENDING_TRANSACTIONS 9101: body `{"transactionIds": [...]}`, answer `{"pending": [...]}`, those still open
 * - LIST_TRANSACTIONS 9102: ext `limit`, answer `{"transactions": [...]}` ({@link PendingTransaction}), oldest first
 *
 * END as a request is answered with the outcome in ext `outcome` (and `conflict` = true when the opposite was decided
 * before), 1 for what is no half message of that group. One-way it is never answered.
 */
export function transactionHandlers(options: { transactions: TransactionService }): Map<number, Handler> {
  const { transactions } = options
  const request: EndRequest = { group: '', queueOffset: 0, physicalOffset: 0, decision: 'unknown', fromCheck: false }
  return new Map<number, Handler>([
    [
      RequestCode.END_TRANSACTION,
      (connection, header) => {
        const decision = endDecisions[header.requireInteger(Field.commitOrRollback)]
        if (decision === undefined) throw new ProtocolError('FIELD_INVALID', 'commitOrRollback is none of 0, 8, 12')
        const fromCheck = header.find(Field.fromTransactionCheck)
        request.group = header.requireText(Field.producerGroup)
        request.queueOffset = header.requireLong(Field.tranStateTableOffset)
        request.physicalOffset = header.requireLong(Field.commitLogOffset)
        request.decision = decision
        request.fromCheck = fromCheck >= 0 && header.flagOf(fromCheck)
        if (header.isOneway) return transactions.end(request, nobodyAsks)
        const { opaque, serialization } = header
        transactions.end(request, (outcome, conflict) => {
          if (!connection.isOpen) return
          connection.reply({ opaque, serialization }, endAnswer(decision, outcome, conflict))
        })
      },
    ],
    [TandemRequestCode.END_TRANSACTIONS, endTransactionsHandler(transactions)],
    [
      TandemRequestCode.PENDING_TRANSACTIONS,
      (connection, header) => {
        const { transactionIds } = bodyOf(header)
        if (!Array.isArray(transactionIds) || !transactionIds.every((id) => typeof id === 'string')) {
          throw new BrokerError('INVALID_PARAMETER', 'transactionIds must be a list of texts')
        }
        if (transactionIds.length > IDS_MAX) {
          throw new BrokerError('INVALID_PARAMETER', `${transactionIds.length} transaction ids, at most ${IDS_MAX}`)
        }
        connection.reply(header, json({ pending: transactions.pendingOf(transactionIds) }))
      },
    ],
    [
      TandemRequestCode.LIST_TRANSACTIONS,
      (connection, header) => {
        const limit = header.find(limitField)
        const count = limit < 0 ? LIST_MAX : Math.min(Math.max(header.integer(limit), 0), LIST_MAX)
        connection.reply(header, json({ transactions: transactions.list(count), total: transactions.stats().pending }))
      },
    ],
  ])
}

function endAnswer(
  decision: Decision,
  outcome: Parameters<EndDone>[0],
  conflict: boolean,
): Omit<CommandInit, 'opaque' | 'flag'> {
  const extFields = { outcome, conflict: conflict || undefined }
  if (outcome === 'unknown') {
    return { code: ResponseCode.SYSTEM_ERROR, remark: 'no half message of this group at these offsets', extFields }
  }
  if (outcome === 'pending' && decision !== 'unknown') {
    return { code: ResponseCode.SERVICE_NOT_AVAILABLE, remark: 'the store failed, the outcome is open', extFields }
  }
  return { code: ResponseCode.SUCCESS, extFields }
}

function json(value: object): Omit<CommandInit, 'opaque' | 'flag'> {
  return { code: ResponseCode.SUCCESS, body: Buffer.from(JSON.stringify(value)) }
}

function bodyOf(header: { bytes: Buffer; bodyStart: number; bodyEnd: number }): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(header.bytes.toString('utf8', header.bodyStart, header.bodyEnd))
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>
  } catch {
    // Said below, with what was expected instead of what the parser met.
  }
  throw new BrokerError('INVALID_PARAMETER', 'the body is no JSON object')
}

const { REAL_TOPIC, REAL_QID, TRANSACTION_CHECK_TIMES, UNIQ_KEY, TRANSACTION_ID } = PropertyName
const copy = new RecordCopy()
const rewriter = new PropertyRewriter({
  drop: [REAL_TOPIC, REAL_QID, TRANSACTION_CHECK_TIMES],
  note: [UNIQ_KEY, TRANSACTION_ID],
})
const checkTimesHead = propertyHead(TRANSACTION_CHECK_TIMES)

/**
 * CHECK_TRANSACTION_STATE for a half message, to be sent one-way: the record with the topic and queue the producer knows,
 * its offsets those of the half record, which END must repeat.
 * @param record the stored half
 * @see remoting.md 2C
 */
export function checkTransactionRequest(half: HalfMessage, record: Buffer, brokerName: string): CommandInit {
  copy.load(record)
  const { fields, view } = copy
  rewriter.load(record, fields.propertiesStart, fields.propertiesEnd)
  const [topicAt, queueAt, , uniqKeyAt, transactionAt] = rewriter.starts as unknown as number[]
  const ends = rewriter.ends as unknown as number[]
  const textOf = (start: number | undefined, end: number | undefined): string | undefined =>
    start === undefined || start < 0 ? undefined : record.toString('utf8', start, end)
  const msgId = textOf(uniqKeyAt, ends[3])
  rewriter.putNumber(checkTimesHead, half.asked + 1)
  fields.topic = Buffer.from(record.subarray(topicAt, ends[0]))
  fields.queueId = decimalAt(record, queueAt as number, ends[1] as number)
  fields.queueOffset = half.queueOffset
  fields.physicalOffset = half.physicalOffset
  fields.storeTimestamp = view.storeTimestamp
  fields.properties = rewriter.bytes
  fields.propertiesStart = 0
  fields.propertiesEnd = rewriter.end
  return {
    code: RequestCode.CHECK_TRANSACTION_STATE,
    extFields: {
      topic: half.topic,
      tranStateTableOffset: half.queueOffset,
      commitLogOffset: half.physicalOffset,
      msgId,
      transactionId: textOf(transactionAt, ends[4]) ?? msgId,
      offsetMsgId: offsetMessageId(fields.storeHost, half.physicalOffset),
      bname: brokerName,
    },
    body: encodeRecord(fields),
  }
}
