import { encodeEnds, EndResult, ENDS_MAX, ResponseCode, TandemRequestCode } from '@tandemmq/protocol'
import type { Connection } from '@tandemmq/remoting'
import { ClientError, errorOfAnswer, toClientError } from '../client-error.ts'
import type { ClientCore } from '../cluster/client-core.ts'
import type { PreparedMessage, TransactionOutcome } from '../message/prepared-message.ts'
import { decisionBits } from '../message/prepared-message.ts'
import type { SendOptions } from '../producer/producer-options.ts'

/** One of many ends. */
export interface TransactionEnd {
  readonly prepared: PreparedMessage
  readonly decision: 'commit' | 'rollback'
}

export type EndResults = PromiseSettledResult<TransactionOutcome>[]

export interface EndBatchesOptions {
  core: ClientCore
  group: string
  /** @throws {ClientError} NOT_STARTED, CLOSED */
  requireOpen(): void
  /** The classic request, with its own report to the hooks. */
  endOne(end: TransactionEnd, options: SendOptions): Promise<TransactionOutcome>
  /** Called for every end of a batch. */
  ended(end: TransactionEnd, outcome: TransactionOutcome | undefined, error: unknown): void
}

const outcomes: Readonly<Record<number, TransactionOutcome>> = {
  [EndResult.committed]: 'committed',
  [EndResult.rolledBack]: 'rolledBack',
  [EndResult.pending]: 'pending',
  [EndResult.unknown]: 'unknown',
}

/** END_TRANSACTIONS 9111: the ends of one broker in one request. Stock brokers do not know it, which is learnt once per connection. */
export class EndBatches {
  readonly #options: EndBatchesOptions
  /** Brokers that take ends one by one only. */
  readonly #classic = new WeakSet<Connection>()

  constructor(options: EndBatchesOptions) {
    this.#options = options
  }

  /** Results in the order of `ends`. Never rejects. */
  async endMany(ends: readonly TransactionEnd[], options: SendOptions): Promise<EndResults> {
    const results: EndResults = []
    const byBroker = new Map<string, number[]>()
    for (const [n, { prepared }] of ends.entries()) {
      const places = byBroker.get(prepared.brokerName)
      if (places === undefined) byBroker.set(prepared.brokerName, [n])
      else places.push(n)
    }
    const work: Promise<void>[] = []
    for (const [brokerName, places] of byBroker) {
      for (let at = 0; at < places.length; at += ENDS_MAX) {
        const some = places.slice(at, at + ENDS_MAX)
        const own = some.map((place) => ends[place] as TransactionEnd)
        work.push(
          this.#endTogether(brokerName, own, options).then((settled) => {
            for (const [n, place] of some.entries()) results[place] = settled[n] as EndResults[number]
          }),
        )
      }
    }
    for (const brokerName of byBroker.keys()) this.#flush(brokerName)
    await Promise.all(work)
    return results
  }

  /** Whoever ends many has collected them; at the end of the turn a consumer would wait one more turn for its message. */
  #flush(brokerName: string): void {
    const { core } = this.#options
    const address = core.routes.addressOf(brokerName)
    if (address !== undefined) core.registeredConnection(address)?.flush()
  }

  async #endTogether(brokerName: string, ends: readonly TransactionEnd[], options: SendOptions): Promise<EndResults> {
    const { ended } = this.#options
    try {
      this.#options.requireOpen()
      const together = ends.length > 1 ? await this.#request(brokerName, ends, options) : undefined
      if (together === undefined) return await this.#endOneByOne(ends, options)
      return ends.map((end, n) => {
        const value = together[n] as TransactionOutcome
        ended(end, value, undefined)
        return { status: 'fulfilled', value }
      })
    } catch (reason) {
      return ends.map((end) => {
        ended(end, undefined, reason)
        return { status: 'rejected', reason }
      })
    }
  }

  /**
   * Those of one transaction one after the other: a stock broker works on requests in parallel, and messages of one key would change places.
   * After a failure the rest of that transaction fails as well.
   */
  async #endOneByOne(ends: readonly TransactionEnd[], options: SendOptions): Promise<EndResults> {
    const { endOne, ended } = this.#options
    const before = new Map<string, Promise<unknown>>()
    const work = ends.map((end) => {
      const { transactionId } = end.prepared
      const last = before.get(transactionId)
      const next =
        last === undefined
          ? endOne(end, options)
          : last.then(
              () => endOne(end, options),
              (reason: unknown) => {
                ended(end, undefined, reason)
                throw reason
              },
            )
      before.set(transactionId, next)
      return next
    })
    return Promise.allSettled(work)
  }

  /** @returns undefined when this broker takes them one by one only */
  async #request(
    brokerName: string,
    ends: readonly TransactionEnd[],
    options: SendOptions,
  ): Promise<TransactionOutcome[] | undefined> {
    const { core, group } = this.#options
    const address = core.brokerAddress(brokerName)
    const connection = core.registeredConnection(address) ?? (await core.connect(address))
    if (this.#classic.has(connection)) return undefined
    const body = encodeEnds(
      ends.map(({ prepared: { physicalOffset, queueOffset }, decision }) => {
        return { physicalOffset, queueOffset, decision: decisionBits[decision] }
      }),
    )
    const init = { code: TandemRequestCode.END_TRANSACTIONS, extFields: { producerGroup: group }, body }
    const timeoutMs = options.timeoutMs ?? core.settings.requestTimeoutMs
    const answer = await connection.request(init, timeoutMs, options.signal).catch((error: unknown) => {
      throw toClientError(error, `end of ${ends.length} transactions at ${address}`)
    })
    if (answer.code === ResponseCode.REQUEST_CODE_NOT_SUPPORTED) {
      this.#classic.add(connection)
      return undefined
    }
    if (answer.code !== ResponseCode.SUCCESS) throw errorOfAnswer(answer.code, answer.remark, 'end of transactions')
    if (answer.body.length !== ends.length) {
      throw new ClientError('SYSTEM_ERROR', `${ends.length} ends were answered with ${answer.body.length} outcomes`)
    }
    return Array.from(answer.body, (result) => outcomes[result & EndResult.OUTCOME] ?? 'unknown')
  }
}
