import { errorTable, Field, fieldName, type HeaderView, ResponseCode, TandemError } from '@tandemmq/protocol'
import type { Connection } from '@tandemmq/remoting'
import { BrokerError } from '../../broker-error.ts'
import { fieldsOf, listOf, numberOf, textOf } from '../heartbeat.ts'
import type { Topics } from '../topics.ts'
import type { AckOutcome, LeaseReceipts } from './lease-receipts.ts'
import type { LeaseTable } from './lease-table.ts'
import { INVISIBLE_MS_MAX, invisibleTimeOf } from './pop-request.ts'
import { parseReceipt, type Receipt, type RetryFlag } from './receipt.ts'
import { retryTopicV1, retryTopicV2 } from './retry-topics.ts'
import type { DeadEnd } from './revival.ts'

/** Messages one batch ack may name: what a client holds of one broker. */
const BATCH_MESSAGES_MAX = 100_000

const byPolicyField = fieldName('byPolicy')
const deadLetterField = fieldName('deadLetter')
const attemptField = fieldName('attempt')
const begunField = fieldName('begun')

/** ACK_MESSAGE, BATCH_ACK_MESSAGE and CHANGE_MESSAGE_INVISIBLETIME (broker.md 6.1). Answered when it is in the journal's file. */
export class AckService {
  readonly #topics: Topics
  readonly #table: LeaseTable
  readonly #receipts: LeaseReceipts

  readonly #retryDelayMs: (group: string, retries: number) => number | undefined
  readonly #retriesOf: (topic: string, queueId: number, offset: number) => number

  /**
   * @param options.retryDelayMs of the group's own policy; undefined = it has none
   * @param options.retriesOf deliveries a message had before the one that is out
   */
  constructor(options: {
    topics: Topics
    table: LeaseTable
    receipts: LeaseReceipts
    retryDelayMs: (group: string, retries: number) => number | undefined
    retriesOf: (topic: string, queueId: number, offset: number) => number
  }) {
    this.#retryDelayMs = options.retryDelayMs
    this.#retriesOf = options.retriesOf
    this.#topics = options.topics
    this.#table = options.table
    this.#receipts = options.receipts
  }

  /** @throws {BrokerError} TOPIC_NOT_EXIST, MESSAGE_ILLEGAL, LEASE_LOST, INVALID_PARAMETER */
  ack(connection: Connection, header: HeaderView): void {
    const { group, topic, queueId, offset, receipt } = this.#read(header)
    const outcome = this.#receipts.ack(this.#table.find(group, topic, queueId), offset, receipt)
    if (outcome === 'stale') throw over(offset, topic, queueId)
    if (outcome === 'notOfBatch') throw notOfBatch(offset, topic, queueId)
    this.#answer(connection, header)
  }

  /**
   * Three fields are TandemMQ's own; a stock broker leaves them out of account and hides the message. `byPolicy`: for as long as the
   * group's retry policy says, if it has one. `begun`: a handler begins with it (see PopRequest.marksBegin). `deadLetter`: not at all, it becomes a dead letter with this reason after
   * `attempt` deliveries, and the answer says `buried`.
   * @throws {BrokerError} TOPIC_NOT_EXIST, MESSAGE_ILLEGAL, LEASE_LOST, INVALID_PARAMETER
   */
  changeInvisibleTime(connection: Connection, header: HeaderView): void {
    const { group, topic, queueId, offset, receipt } = this.#read(header)
    const asked = invisibleTimeOf(header, 0)
    const reasonAt = header.find(deadLetterField)
    if (reasonAt >= 0) {
      const place: [string, string, number, number] = [group, topic, queueId, offset]
      const attemptAt = header.find(attemptField)
      const deliveries = attemptAt < 0 ? undefined : Math.max(1, header.integer(attemptAt))
      return this.#bury(connection, header, place, receipt, { deliveries, reason: header.text(reasonAt) })
    }
    const begunAt = header.find(begunField)
    if (begunAt >= 0 && header.flagOf(begunAt)) {
      this.#receipts.begin(this.#table.find(group, topic, queueId), offset, receipt)
    }
    const byPolicyAt = header.find(byPolicyField)
    const isByPolicy = byPolicyAt >= 0 && header.flagOf(byPolicyAt)
    const invisibleMs = isByPolicy ? (this.#policyMs(group, topic, queueId, offset) ?? asked) : asked
    const epoch = this.#receipts.hide(this.#table.find(group, topic, queueId), offset, receipt, invisibleMs)
    if (epoch === undefined) throw over(offset, topic, queueId)
    const { popTime, invisibleMs: invisibleTime, reviveQueueId: reviveQid } = epoch
    this.#answer(connection, header, { popTime, invisibleTime, reviveQid })
  }

  /**
   * @param body parsed (remoting.md 2B-POP)
   * @throws {BrokerError} LEASE_LOST when nothing of it could be acknowledged, INVALID_PARAMETER
   */
  batchAck(connection: Connection, header: HeaderView, body: unknown): void {
    let settled = 0
    let stale = 0
    for (const entry of listOf(fieldsOf(body, 'the body'), 'acks')) {
      const outcomes = this.#ackEntry(fieldsOf(entry, 'an entry of acks'), BATCH_MESSAGES_MAX - settled - stale)
      for (const outcome of outcomes) {
        if (outcome === 'acked' || outcome === 'again') settled++
        else stale++
      }
    }
    if (stale > 0 && settled === 0) throw new BrokerError('LEASE_LOST', `none of the ${stale} leases is alive`)
    this.#answer(
      connection,
      header,
      undefined,
      stale === 0 ? undefined : `${stale} leases were over, ${settled} were acknowledged`,
    )
  }

  #bury(
    connection: Connection,
    header: HeaderView,
    [group, topic, queueId, offset]: [string, string, number, number],
    receipt: Receipt,
    end: DeadEnd,
  ): void {
    const { isOneway, opaque, serialization } = header
    const request = { isOneway, opaque, serialization }
    const done = (error?: Error): void => {
      if (error === undefined) return this.#answer(connection, request, { buried: 'true' })
      if (isOneway || !connection.isOpen) return
      const code = error instanceof TandemError ? errorTable[error.code].remote : undefined
      connection.reply(request, { code: code ?? ResponseCode.SYSTEM_ERROR, remark: error.message })
    }
    const queue = this.#table.find(group, topic, queueId)
    if (!this.#receipts.bury(queue, offset, receipt, end, done)) throw over(offset, topic, queueId)
  }

  #policyMs(group: string, topic: string, queueId: number, offset: number): number | undefined {
    const delayMs = this.#retryDelayMs(group, this.#retriesOf(topic, queueId, offset))
    return delayMs === undefined ? undefined : Math.min(Math.max(delayMs, 1), INVISIBLE_MS_MAX)
  }

  #ackEntry(fields: Record<string, unknown>, messagesMax: number): AckOutcome[] {
    const group = textOf(fields, 'c')
    const retry = numberOf(fields['r'], 0)
    const flag: RetryFlag = retry === 1 || retry === 2 ? retry : 0
    const topic = realTopic(textOf(fields, 't'), group, flag)
    const queue = this.#table.find(group, topic, numberOf(fields['q'], -1))
    const startOffset = numberOf(fields['so'], -1)
    const receipt: Receipt = {
      popTime: numberOf(fields['pt'], -1),
      invisibleMs: numberOf(fields['it'], 0),
      reviveQueueId: numberOf(fields['rq'], -1),
      retry: flag,
    }
    return bitsOf(fields['b'], messagesMax).map((bit) => this.#receipts.ack(queue, startOffset + bit, receipt))
  }

  #read(header: HeaderView): { group: string; topic: string; queueId: number; offset: number; receipt: Receipt } {
    const group = header.requireText(Field.consumerGroup)
    const named = header.requireText(Field.topic)
    const queueId = header.requireInteger(Field.queueId)
    const offset = header.requireLong(Field.offset)
    const extraInfo = header.requireText(Field.extraInfo)
    const topic = realTopic(named, group, Number(extraInfo.split(' ', 5)[4]) as RetryFlag)
    const source = this.#topics.require(topic).queues[queueId]
    if (source === undefined) {
      const detail = `queueId[${queueId}] is illegal, topic:[${topic}] has ${this.#topics.require(topic).queues.length} queues`
      throw new BrokerError('MESSAGE_ILLEGAL', detail)
    }
    const { minOffset, maxOffset } = source
    if (offset < minOffset || offset > maxOffset) {
      const detail = `offset is illegal, key:${topic}@${queueId}, commit:${offset}, store:${minOffset}~${maxOffset}`
      throw new BrokerError('LEASE_LOST', detail)
    }
    return { group, topic, queueId, offset, receipt: parseReceipt(extraInfo) }
  }

  #answer(
    connection: Connection,
    { isOneway, opaque, serialization }: Pick<HeaderView, 'isOneway' | 'opaque' | 'serialization'>,
    extFields?: Record<string, number | string>,
    remark?: string,
  ): void {
    if (isOneway) return
    this.#table.whenWritten((error) => {
      if (!connection.isOpen) return
      if (error !== undefined) {
        connection.reply({ opaque, serialization }, { code: ResponseCode.SERVICE_NOT_AVAILABLE, remark: error.message })
        return
      }
      const more = { ...(extFields === undefined ? {} : { extFields }), ...(remark === undefined ? {} : { remark }) }
      connection.reply({ opaque, serialization }, { code: ResponseCode.SUCCESS, ...more })
    })
  }
}

/** Clients name the retry topic; where one names the topic itself, the receipt says which of the two is meant. */
function realTopic(named: string, group: string, retry: RetryFlag): string {
  if (named.startsWith('%RETRY%')) return named
  if (retry === 1) return retryTopicV1(group, named)
  return retry === 2 ? retryTopicV2(group, named) : named
}

/** @param value base64 of a bit set, lowest bit of the first byte first */
function bitsOf(value: unknown, bitsMax: number): number[] {
  const bits: number[] = []
  const bytes = Buffer.from(typeof value === 'string' ? value : '', 'base64')
  for (const [at, byte] of bytes.entries()) {
    for (let rest = byte; rest !== 0; rest &= rest - 1) {
      if (bits.length >= bitsMax) throw new BrokerError('INVALID_PARAMETER', `more than ${BATCH_MESSAGES_MAX} messages`)
      bits.push(at * 8 + 31 - Math.clz32(rest & -rest))
    }
  }
  return bits
}

const over = (offset: number, topic: string, queueId: number): BrokerError =>
  new BrokerError('LEASE_LOST', `the lease of message ${offset} of ${topic} queue ${queueId} is over`)

const notOfBatch = (offset: number, topic: string, queueId: number): BrokerError =>
  new BrokerError(
    'MESSAGE_ILLEGAL',
    `message ${offset} of ${topic} queue ${queueId} is not of the batch of this receipt`,
  )
