import {
  decodeCheckAnswers,
  parseLenientJson,
  ProtocolError,
  requestName,
  ResponseCode,
  TandemRequestCode,
} from '@tandemmq/protocol'
import type { Connection } from '@tandemmq/remoting'
import { BrokerError } from '../broker-error.ts'
import type { ProducerDomains } from '../queueing/index.ts'
import type { CheckPeer, HalfMessage } from '../transaction/index.ts'
import { checkTransactionRequest } from './transaction-handlers.ts'

/** A database may take its time, and a locked row more; longer than this is as good as no answer. */
const ANSWER_MS = 10_000
/** Single check-backs are one-way: a client that does not read is not sent more than this. */
const UNREAD_BYTES_MAX = 1 << 20

/** Check-backs on the wire: many at once to clients that announced the domain, one by one to all others. */
export class CheckRequests {
  readonly #domains: ProducerDomains
  readonly #brokerName: string
  readonly #peers = new WeakMap<Connection, Map<string, CheckPeer>>()

  constructor(options: { domains: ProducerDomains; brokerName: string }) {
    this.#domains = options.domains
    this.#brokerName = options.brokerName
  }

  /** Whoever is to be asked next, if it takes many at once. */
  peerOf(half: HalfMessage): CheckPeer | undefined {
    const { domain } = half
    const connection = this.#domains.pick(half, half.asked)
    if (connection === undefined || domain === undefined) return undefined
    return this.#domains.answersFor(domain, connection.id) ? this.#peer(connection, domain) : undefined
  }

  /** CHECK_TRANSACTION_STATE 39, one-way. @returns false when there is nobody to ask, or it does not read what it is sent */
  ask(half: HalfMessage, record: Buffer): boolean {
    const connection = this.#domains.pick(half, half.asked)
    if (connection === undefined || connection.pendingBytes > UNREAD_BYTES_MAX) return false
    connection.oneway(checkTransactionRequest(half, record, this.#brokerName))
    return true
  }

  #peer(connection: Connection, domain: string): CheckPeer {
    let peers = this.#peers.get(connection)
    if (peers === undefined) this.#peers.set(connection, (peers = new Map()))
    let peer = peers.get(domain)
    if (peer === undefined) {
      const check: CheckPeer['check'] = (transactionIds) => this.#check(connection, domain, transactionIds)
      peers.set(domain, (peer = { connectionId: connection.id, domain, check }))
    }
    return peer
  }

  async #check(connection: Connection, domain: string, transactionIds: readonly string[]) {
    const code = TandemRequestCode.CHECK_TRANSACTIONS
    const body = Buffer.from(JSON.stringify({ domain, transactionIds }))
    const answer = await connection.request({ code, extFields: { bname: this.#brokerName }, body }, ANSWER_MS)
    if (answer.code !== ResponseCode.SUCCESS) {
      throw new BrokerError('SYSTEM_ERROR', `${requestName(code)} was answered ${answer.code}: ${answer.remark ?? ''}`)
    }
    const told = parseLenientJson(answer.body.toString('utf8'))
    if (typeof told !== 'object' || told === null || !('answers' in told)) {
      throw new ProtocolError('FIELD_INVALID', `an answer to ${requestName(code)} without answers`)
    }
    return decodeCheckAnswers(told.answers, transactionIds.length)
  }
}
