import {
  encodeCommand,
  LanguageCode,
  offsetMessageId,
  PROTOCOL_VERSION,
  writeDecimal,
  writeHexInt64,
  writeSignedDecimal,
} from '@tandemmq/protocol'
import type { Connection } from '@tandemmq/remoting'
import type { Measurements } from '../measurements.ts'
import type { AppendCompletion, MessageStore, StoreError } from '../store/index.ts'
import { sendAnswerFields } from './answer-fields.ts'

// The answer to SEND_MESSAGE is the most frequent frame of all: constant bytes with digits patched in. Field names and
// the set of fields are those of a stock broker (remoting.md 13.6); an answer to a repeat carries `dedup` as well.
const AFTER_ID = Buffer.from('","transactionId":"', 'latin1')
const AFTER_KEY = Buffer.from('","queueId":"', 'latin1')
const AFTER_QUEUE = Buffer.from('","queueOffset":"', 'latin1')
const AFTER_OFFSET = Buffer.from('"},"opaque":', 'latin1')
const DIGITS_MAX = 20
const KEY_BYTES_MAX = 255

/** What is constant for one connection: the host part of message ids is the address this client dialled. */
export class SendReplyTemplate {
  readonly storeHost: Buffer
  readonly head: Buffer
  readonly measured: Measurements

  constructor(storeHost: Buffer, measured: Measurements) {
    this.storeHost = storeHost
    this.measured = measured
    this.head = Buffer.from(
      `{"code":0,"flag":1,"language":"OTHER","version":${PROTOCOL_VERSION},"serializeTypeCurrentRPC":"JSON",` +
        `"extFields":{"MSG_REGION":"DefaultRegion","TRACE_ON":"true","msgId":"${storeHost.toString('hex').toUpperCase()}`,
      'latin1',
    )
  }
}

/** Answers one send when its record is as safe as the flush policy promises. One object per message, no closure. */
export class SendReply implements AppendCompletion {
  readonly #connection: Connection
  readonly #template: SendReplyTemplate
  readonly #store: MessageStore
  readonly #opaque: number
  readonly #serialization: 0 | 1
  readonly #receivedAt: number
  queueId = 0
  queueOffset = 0
  physicalOffset = 0
  /** Where the unique key stands in the log, so that it is not kept a second time while the flush is awaited. */
  keyAt = 0
  keyBytes = 0
  /** The unique key itself, where the record was rewritten (half, delayed) and its place is not known. */
  key: string | undefined
  /** The key needs no escaping inside JSON; a stranger's key may. */
  isKeyPlain = true
  recallHandle: string | undefined
  /** An earlier send had the same key: this is its answer once more. */
  duplicate = false

  constructor(
    connection: Connection,
    template: SendReplyTemplate,
    store: MessageStore,
    opaque: number,
    serialization: 0 | 1,
  ) {
    this.#connection = connection
    this.#template = template
    this.#store = store
    this.#opaque = opaque
    this.#serialization = serialization
    this.#receivedAt = connection.lastActiveAt
  }

  stored(): void {
    const { measured } = this.#template
    measured.send.observe(measured.now - this.#receivedAt)
    if (!this.#connection.isOpen) return
    if (this.#isUnusual) {
      this.#sendCommand()
      return
    }
    const connection = this.#connection
    const head = this.#template.head
    const room =
      8 + head.length + 16 + AFTER_ID.length + this.keyBytes + (this.key?.length ?? 0) * 3 + 64 + 3 * DIGITS_MAX
    const start = connection.reserve(room)
    const out = connection.output
    let at = start + 8
    out.set(head, at)
    at += head.length
    at += writeHexInt64(out, at, this.physicalOffset)
    at = put(out, at, AFTER_ID)
    if (this.key !== undefined) at += out.write(this.key, at, 'utf8')
    else if (this.keyBytes > 0 && this.#store.readInto(this.keyAt, this.keyBytes, out, at)) at += this.keyBytes
    at = put(out, at, AFTER_KEY)
    at += writeDecimal(out, at, this.queueId)
    at = put(out, at, AFTER_QUEUE)
    at += writeDecimal(out, at, this.queueOffset)
    at = put(out, at, AFTER_OFFSET)
    at += writeSignedDecimal(out, at, this.#opaque)
    out[at++] = 0x7d
    connection.outputView.setInt32(start, at - start - 4)
    connection.outputView.setInt32(start + 4, at - start - 8)
    connection.commit(at - start)
  }

  get #isUnusual(): boolean {
    const plain = this.isKeyPlain && this.keyBytes <= KEY_BYTES_MAX && this.recallHandle === undefined
    return !plain || this.duplicate || this.#serialization === 1
  }

  failed(error: StoreError): void {
    this.#template.measured.refuse(error.code)
    if (!this.#connection.isOpen) return
    this.#connection.reply(
      { opaque: this.#opaque, serialization: this.#serialization },
      { code: 14, remark: error.message, extFields: sendAnswerFields },
    )
  }

  #sendCommand(): void {
    const key = Buffer.alloc(this.keyBytes)
    if (this.keyBytes > 0) this.#store.readInto(this.keyAt, this.keyBytes, key, 0)
    const transactionId = this.key ?? (this.keyBytes > 0 ? key.toString('utf8') : undefined)
    this.#connection.send(
      encodeCommand({
        code: 0,
        flag: 1,
        opaque: this.#opaque,
        language: LanguageCode.OTHER,
        version: PROTOCOL_VERSION,
        serialization: this.#serialization,
        extFields: {
          msgId: offsetMessageId(this.#template.storeHost, this.physicalOffset),
          queueId: this.queueId,
          queueOffset: this.queueOffset,
          transactionId,
          dedup: this.duplicate ? '1' : undefined,
          recallHandle: this.recallHandle,
          ...sendAnswerFields,
        },
      }),
    )
  }
}

function put(out: Buffer, at: number, bytes: Buffer): number {
  for (let i = 0; i < bytes.length; i++) out[at + i] = bytes[i] as number
  return at + bytes.length
}
