import { decodeBatch, type HeaderView, offsetMessageId, RequestCode } from '@tandemmq/protocol'
import type { Connection } from '@tandemmq/remoting'
import { BrokerError } from '../broker-error.ts'
import { namesDelay } from '../delay/index.ts'
import type { Topic } from '../queueing/index.ts'
import type { AppendCompletion, StoreError } from '../store/index.ts'
import type { Handler } from './handler.ts'
import { indexOf, SendFields } from './send-fields.ts'
import type { SendHandler } from './send-handler.ts'
import type { SendReplyTemplate } from './send-reply.ts'

const BATCH_MESSAGES_MAX = 10_000

interface Placed {
  queueId: number
  queueOffset: number
  physicalOffset: number
  duplicate: boolean
}

/**
 * SEND_BATCH_MESSAGE: independent records, appended one after the other to one queue and answered together
 * (remoting.md 3.6). Each message is deduplicated by its own key, so a repeated batch of which a crash kept only the
 * first part is completed, not doubled.
 */
export class BatchHandler {
  readonly #send: SendHandler

  constructor(send: SendHandler) {
    this.#send = send
  }

  handlers(): Map<number, Handler> {
    return new Map([[RequestCode.SEND_BATCH_MESSAGE, (connection, header) => this.#batch(connection, header)]])
  }

  #batch(connection: Connection, header: HeaderView): void {
    const send = this.#send
    const topic = send.topicOf(header)
    send.admit(header.bodyEnd - header.bodyStart, topic)
    if (topic.name.startsWith('%RETRY%')) throw new BrokerError('MESSAGE_ILLEGAL', 'a retry cannot be part of a batch')
    const entries = decodeBatch(header.bytes, header.bodyStart, header.bodyEnd)
    if (entries.length === 0 || entries.length > BATCH_MESSAGES_MAX) {
      throw new BrokerError('MESSAGE_ILLEGAL', `a batch has 1 to ${BATCH_MESSAGES_MAX} messages, not ${entries.length}`)
    }
    const { properties, requestCommit, store } = send.options
    properties.fromHeader(header, indexOf(header, SendFields.properties))
    const batchKey = send.key()
    const keys = new Set<string>()
    let own = 0
    for (const entry of entries) {
      properties.fromBytes(header.bytes, entry.propertiesStart, entry.propertiesEnd)
      this.#refuseSpecial(entry.bodyEnd - entry.bodyStart)
      keys.add(send.key())
      if (properties.scan.dedupKeyStart >= 0) own++
    }
    // Members that share one key are a client's habit (remoting.md 13.1): by that key no repeat can be told.
    const distinct = keys.size === entries.length
    if (own > 0 && topic.dedupWindowMs !== 0) send.options.dedup.admit(own)
    send.readFields(connection, header, topic)
    const { queueId } = send.fields
    const placed: Placed[] = []
    for (const entry of entries) {
      // A member that is held leaves the fields of the held record.
      send.fields.topic = topic.nameBytes
      send.fields.queueId = queueId
      properties.fromBytes(header.bytes, entry.propertiesStart, entry.propertiesEnd)
      send.takeProperties()
      send.fields.flag = entry.flag
      send.fields.bodyStart = entry.bodyStart
      send.fields.bodyEnd = entry.bodyEnd
      placed.push(this.#place(topic, distinct))
    }
    if (!header.isOneway) {
      const last = Math.max(...placed.map((one) => one.physicalOffset))
      store.whenSafe(last, new BatchReply(connection, header, send.templateOf(connection), batchKey, placed))
    }
    requestCommit()
  }

  #place(topic: Topic, distinct: boolean): Placed {
    const send = this.#send
    // A client that repeats a batch may have chosen another queue; what is stored stays where it is.
    if (distinct && send.findFirst(topic)) {
      const { queueId, queueOffset, physicalOffset } = send.first
      return { queueId, queueOffset, physicalOffset, duplicate: true }
    }
    send.append(topic, undefined)
    if (distinct) send.remember()
    const { queueId, queueOffset: appendedAt, physicalOffset } = send.fields
    return { queueId, queueOffset: appendedAt, physicalOffset, duplicate: false }
  }

  #refuseSpecial(bodyBytes: number): void {
    const { scan } = this.#send.options.properties
    if (bodyBytes === 0) throw new BrokerError('MESSAGE_ILLEGAL', 'a message of the batch has no body')
    if (scan.tranMsgStart >= 0) throw new BrokerError('MESSAGE_ILLEGAL', 'a half message cannot be part of a batch')
    if (namesDelay(scan)) throw new BrokerError('MESSAGE_ILLEGAL', 'a delayed message cannot be part of a batch')
  }
}

class BatchReply implements AppendCompletion {
  readonly #connection: Connection
  readonly #request: { opaque: number; serialization: 0 | 1 }
  readonly #template: SendReplyTemplate
  readonly #receivedAt: number
  readonly #batchKey: string
  readonly #placed: readonly Placed[]

  constructor(
    connection: Connection,
    header: HeaderView,
    template: SendReplyTemplate,
    batchKey: string,
    placed: readonly Placed[],
  ) {
    this.#connection = connection
    this.#request = { opaque: header.opaque, serialization: header.serialization }
    this.#template = template
    this.#receivedAt = connection.lastActiveAt
    this.#batchKey = batchKey
    this.#placed = placed
  }

  stored(): void {
    const { measured, storeHost } = this.#template
    measured.send.observe(measured.now - this.#receivedAt)
    if (!this.#connection.isOpen) return
    const duplicates = this.#placed.flatMap(({ duplicate }, index) => (duplicate ? [index] : []))
    const first = this.#placed[0] as Placed
    this.#connection.reply(this.#request, {
      code: 0,
      extFields: {
        msgId: this.#placed.map(({ physicalOffset }) => offsetMessageId(storeHost, physicalOffset)).join(','),
        queueId: first.queueId,
        queueOffset: first.queueOffset,
        transactionId: this.#batchKey,
        MSG_REGION: 'DefaultRegion',
        TRACE_ON: 'true',
        // Ours: which members an earlier send had stored, and where each is when they are not one behind the other.
        ...(duplicates.length > 0 && {
          dedup: duplicates.length === this.#placed.length ? '1' : undefined,
          duplicates: duplicates.join(','),
        }),
        ...((duplicates.length > 0 || this.#isScattered) && {
          queueIds: this.#placed.map(({ queueId }) => queueId).join(','),
          queueOffsets: this.#placed.map(({ queueOffset }) => queueOffset).join(','),
        }),
      },
    })
  }

  get #isScattered(): boolean {
    const first = this.#placed[0] as Placed
    return this.#placed.some(
      ({ queueId, queueOffset }, n) => queueId !== first.queueId || queueOffset !== first.queueOffset + n,
    )
  }

  failed(error: StoreError): void {
    this.#template.measured.refuse(error.code)
    if (this.#connection.isOpen) this.#connection.reply(this.#request, { code: 14, remark: error.message })
  }
}
