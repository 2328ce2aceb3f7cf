import { readRecords } from '../stored-record.ts'
import type { Frame } from '../frames.ts'
import { bodyOf, hashOf, idOf, type Ledger } from './ledger.ts'
import type { MemoryWire } from './memory-wire.ts'

export const READERS = 'readers'
export const RETRY = `%RETRY%${READERS}`
export const SELLERS = 'sellers'
const PREPARED = 4
const decisions = { commit: 8, rollback: 12 } as const

export type SingleKind = 'plain' | 'dedup' | 'delayed'

export interface Pulled {
  code: number
  next: number
  min: number
  max: number
  messages: ReturnType<typeof readRecords>
}

/** Ids of messages sent back by their reader: the body is that of the first one. */
export function returnedId(id: string): string {
  return `back:${id}`
}

/** Of delayed messages and transactions: they wait for undecided transactions before them. */
const ORDERED = { __SHARDINGKEY: 'customer-7' }

/** Producers, transactions and readers of one company, each writing down what it asked and what it was told. */
export class Clients {
  readonly #wire: MemoryWire
  readonly #ledger: Ledger

  constructor(wire: MemoryWire, ledger: Ledger) {
    this.#wire = wire
    this.#ledger = ledger
  }

  /** Sends a message, or the same one again. @param delayMs whole ms; of kind `delayed` only */
  async send(kind: SingleKind, id: string, topic: string, queueId: number, delayMs?: number): Promise<void> {
    this.#started(kind, id, topic, delayMs)
    const properties = { UNIQ_KEY: id, KEYS: id, ...(kind === 'dedup' && { DEDUP_KEY: `key-${id}` }) }
    const timed = delayMs === undefined ? properties : { ...properties, ...ORDERED, TIMER_DELAY_MS: String(delayMs) }
    const answer = await this.#put(310, topic, queueId, timed, bodyOf(id))
    this.#answered(id, answer)
  }

  async sendBatch(ids: readonly string[], topic: string, queueId: number): Promise<void> {
    for (const id of ids) this.#started('batch', id, topic)
    const entries = ids.map((id) => batchEntry(bodyOf(id), propertyText({ UNIQ_KEY: id, KEYS: id })))
    const answer = await this.#put(320, topic, queueId, { UNIQ_KEY: `batch-${ids[0] ?? ''}` }, Buffer.concat(entries))
    for (const [index, id] of ids.entries()) this.#answered(id, answer, index)
  }

  /** A half message, its local transaction, and the end, unless that is `forgotten`: then the broker has to ask. */
  async sendHalf(id: string, topic: string, decision: keyof typeof decisions, forgotten: boolean): Promise<void> {
    this.#started('half', id, topic)
    const properties = { UNIQ_KEY: id, TRAN_MSG: 'true', PGROUP: SELLERS, ...ORDERED }
    const answer = await this.#put(310, topic, 0, properties, bodyOf(id), PREPARED)
    this.#answered(id, answer)
    if (answer.code !== 0) return
    this.#ledger.note({ event: `local.${decision}`, id })
    if (forgotten) return
    const { msgId = '', queueOffset = '' } = answer.extFields ?? {}
    await this.#wire.request(37, endFields(Number(queueOffset), offsetIn(msgId), decision, id))
  }

  /** Answers a check-back of the broker by what the ledger says; who never decided says no. */
  answerCheck(frame: Frame, decisionOf: (id: string) => keyof typeof decisions | undefined): void {
    const id = idOf(readRecords(frame.body)[0]?.body ?? Buffer.alloc(0))
    const known = decisionOf(id)
    if (known === undefined) this.#ledger.note({ event: 'local.rollback', id })
    const { tranStateTableOffset, commitLogOffset } = frame.extFields ?? {}
    const fields = endFields(Number(tranStateTableOffset), Number(commitLogOffset), known ?? 'rollback', id)
    this.#wire.oneway(37, { ...fields, fromTransactionCheck: true })
  }

  async pull(group: string, topic: string, queueId: number, offset: number): Promise<Pulled> {
    const answer = await this.#wire.request(11, {
      ...{ consumerGroup: group, topic, queueId, queueOffset: offset, maxMsgNums: 32, sysFlag: 4, commitOffset: 0 },
      ...{ suspendTimeoutMillis: 0, subscription: '*', subVersion: 0, expressionType: 'TAG' },
    })
    const { nextBeginOffset = '0', minOffset = '0', maxOffset = '0' } = answer.extFields ?? {}
    const messages = answer.code === 0 ? readRecords(answer.body) : []
    for (const { queueId: queue, offset: at, body } of messages) {
      const id = topic === RETRY ? returnedId(idOf(body)) : idOf(body)
      this.#ledger.note({ event: 'recv', id, hash: hashOf(body), group, topic, queueId: queue, offset: at })
    }
    const next = Number(nextBeginOffset)
    return { code: answer.code, next, min: Number(minOffset), max: Number(maxOffset), messages }
  }

  /** @returns the first offset of a queue and the one behind its last; undefined when there is no such queue */
  async rangeOf(topic: string, queueId: number): Promise<{ min: number; max: number } | undefined> {
    const [least, end] = [
      await this.#wire.request(31, { topic, queueId }),
      await this.#wire.request(30, { topic, queueId, committed: true }),
    ]
    if (least.code !== 0 || end.code !== 0) return undefined
    return { min: Number(least.extFields?.offset), max: Number(end.extFields?.offset) }
  }

  async commit(topic: string, queueId: number, offset: number): Promise<void> {
    const fields = { group: READERS, topic, queueId, offset }
    this.#ledger.note({ event: 'commit.start', ...fields })
    const asked = { consumerGroup: READERS, topic, queueId, commitOffset: offset }
    const answer = await this.#wire.request(15, asked)
    if (answer.code === 0) this.#ledger.note({ event: 'commit.ok', ...fields })
  }

  async readCommitted(topic: string, queueId: number): Promise<void> {
    const asked = { consumerGroup: READERS, topic, queueId, setZeroIfNotFound: false }
    const answer = await this.#wire.request(14, asked)
    const offset = answer.code === 0 ? Number(answer.extFields?.offset) : -1
    this.#ledger.note({ event: 'offset.read', group: READERS, topic, queueId, offset })
  }

  /** A reader gives a message back: it comes again in a second (delay level 1). */
  async sendBack({ body, physicalOffset }: Pulled['messages'][number]): Promise<void> {
    const id = returnedId(idOf(body))
    const delayMs = 1_000
    this.#ledger.note({ event: 'send.start', id, topic: RETRY, kind: 'delayed', hash: hashOf(body), delayMs })
    const fields = { offset: physicalOffset, group: READERS, delayLevel: 1, originTopic: 'orders' }
    const answer = await this.#wire.request(36, { ...fields, originMsgId: '', unitMode: false, maxReconsumeTimes: 16 })
    this.#answered(id, { ...answer, extFields: { queueId: '0', queueOffset: '0' } })
  }

  async createTopic(topic: string, queues: number): Promise<void> {
    await this.#wire.request(17, {
      ...{ topic, defaultTopic: 'TBW102', readQueueNums: queues, writeQueueNums: queues, perm: 6 },
      ...{ topicFilterType: 'SINGLE_TAG', topicSysFlag: 0, order: false },
    })
  }

  async deleteTopic(topic: string): Promise<void> {
    this.#ledger.note({ event: 'delete.start', topic })
    const answer = await this.#wire.request(215, { topic })
    if (answer.code === 0) this.#ledger.note({ event: 'delete.ok', topic })
  }

  /** A setting of many KiB, so that the journal grows. */
  async put(key: string, value: number): Promise<void> {
    this.#ledger.note({ event: 'put.start', key, value })
    const text = `${value} `.padEnd(24 << 10, String(value))
    const answer = await this.#wire.request(100, { namespace: 'lab', key, value: text })
    if (answer.code === 0) this.#ledger.note({ event: 'put.ok', key, value })
  }

  async readSetting(key: string): Promise<void> {
    const answer = await this.#wire.request(101, { namespace: 'lab', key })
    const value = answer.code === 0 ? Number.parseInt(answer.extFields?.value ?? '', 10) : -1
    this.#ledger.note({ event: 'put.read', key, value })
  }

  /** Says that producers and readers live. */
  async heartbeat(topics: readonly string[]): Promise<void> {
    const subscriptionDataSet = topics.map((topic) => {
      return { topic, subString: '*', tagsSet: [], codeSet: [], subVersion: 1, expressionType: 'TAG' }
    })
    const consumer = {
      ...{ groupName: READERS, consumeType: 'CONSUME_PASSIVELY', messageModel: 'CLUSTERING' },
      ...{ consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET', subscriptionDataSet, unitMode: false },
    }
    const beat = { clientID: 'lab', producerDataSet: [{ groupName: SELLERS }], consumerDataSet: [consumer] }
    await this.#wire.request(34, {}, Buffer.from(JSON.stringify(beat)))
  }

  /** @returns log offsets of what a query by key finds */
  async findByKey(topic: string, key: string): Promise<string[]> {
    const fields = { topic, key, maxNum: 32, beginTimestamp: 0, endTimestamp: Number.MAX_SAFE_INTEGER }
    const answer = await this.#wire.request(12, fields)
    return answer.code === 0 ? readRecords(answer.body).map(({ body }) => idOf(body)) : []
  }

  #started(kind: SingleKind | 'batch' | 'half', id: string, topic: string, delayMs?: number): void {
    const hash = hashOf(bodyOf(id))
    this.#ledger.note({ event: 'send.start', id, topic, kind, hash, ...(delayMs !== undefined && { delayMs }) })
  }

  /** @param index of the message in its batch */
  #answered(id: string, { code, extFields, remark = '' }: Frame, index = 0): void {
    const queueId = Number(extFields?.queueId)
    if (code === 0) this.#ledger.note({ event: 'send.ok', id, queueId, offset: Number(extFields?.queueOffset) + index })
    else this.#ledger.note({ event: 'send.unknown', id, code: `${code} ${remark}` })
  }

  #put(
    code: 310 | 320,
    topic: string,
    queueId: number,
    properties: Record<string, string>,
    body: Buffer,
    sysFlag = 0,
  ): Promise<Frame> {
    const fields = {
      ...{ a: SELLERS, b: topic, c: 'TBW102', d: 4, e: queueId, f: sysFlag, g: 1, h: 0 },
      ...{ i: propertyText(properties), j: 0, k: false, m: code === 320 },
    }
    return this.#wire.request(code, fields, body)
  }
}

function endFields(queueOffset: number, logOffset: number, decision: keyof typeof decisions, id: string) {
  return {
    ...{ producerGroup: SELLERS, tranStateTableOffset: queueOffset, commitLogOffset: logOffset },
    ...{ commitOrRollback: decisions[decision], fromTransactionCheck: false, msgId: id },
  }
}

function propertyText(properties: Record<string, string>): string {
  return Object.entries(properties)
    .map(([name, value]) => `${name}\u0001${value}\u0002`)
    .join('')
}

/** docs/spec/remoting.md 3.8: the last 16 digits are the log offset. */
function offsetIn(messageId: string): number {
  return Number.parseInt(messageId.slice(-16), 16)
}

function batchEntry(body: Buffer, properties: string): Buffer {
  const text = Buffer.from(properties)
  const head = Buffer.alloc(20)
  head.writeInt32BE(22 + body.length + text.length, 0)
  head.writeInt32BE(body.length, 16)
  const length = Buffer.alloc(2)
  length.writeInt16BE(text.length)
  return Buffer.concat([head, body, length, text])
}
