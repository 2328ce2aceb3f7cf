import type { RecordView } from '@tandemmq/protocol'
import { decodeProperties, decompressBody, offsetMessageId, PropertyName, SysFlag } from '@tandemmq/protocol'

/** Output limit when a body arrives compressed: what a broker lets in is 4 MiB before compression. */
const INFLATED_BYTES_MAX = 67_108_864
const REPLY_TO = PropertyName.REPLY_TO_CLIENT
const FLAG_AT = 16
const BORN_AT = 40
const BORN_HOST_AT = 48

/**
 * A message as a consumer gets it. Only the numbers are read at once; body, text and properties are decoded on first
 * access and share the bytes of the pull answer.
 */
export class ConsumedMessage {
  /** Consumer group it was delivered to. */
  readonly group: string
  readonly brokerName: string
  readonly queueId: number
  /** 1 for the first delivery. */
  attempt: number
  readonly reconsumeTimes: number
  /** Size of the stored record, bytes. */
  readonly storedBytes: number
  readonly sysFlag: number
  readonly #queueOffset: number
  readonly #physicalOffset: number
  readonly #bytes: Buffer
  readonly #start: number
  readonly #topicStart: number
  readonly #topicEnd: number
  readonly #bodyStart: number
  readonly #bodyEnd: number
  readonly #propertiesStart: number
  readonly #propertiesEnd: number
  readonly #storeTimestamp: number
  #body: Buffer | undefined
  #priority: number | undefined
  #properties: Readonly<Record<string, string>> | undefined

  /** @param view stands on a record inside `bytes`, which this message keeps */
  constructor(bytes: Buffer, start: number, view: RecordView, brokerName: string, group: string) {
    this.group = group
    this.brokerName = brokerName
    this.queueId = view.queueId
    this.#queueOffset = view.queueOffset
    this.#physicalOffset = view.physicalOffset
    this.reconsumeTimes = view.reconsumeTimes
    this.attempt = view.reconsumeTimes + 1
    this.storedBytes = view.size
    this.sysFlag = view.sysFlag
    this.#bytes = bytes
    this.#start = start
    this.#topicStart = view.topicStart
    this.#topicEnd = view.topicEnd
    this.#bodyStart = view.bodyStart
    this.#bodyEnd = view.bodyEnd
    this.#propertiesStart = view.propertiesStart
    this.#propertiesEnd = view.propertiesEnd
    this.#storeTimestamp = view.storeTimestamp
  }

  get queueOffset(): bigint {
    return BigInt(this.#queueOffset)
  }

  /** Position in the broker's commit log. */
  get physicalOffset(): bigint {
    return BigInt(this.#physicalOffset)
  }

  /** The body as it was sent. */
  get body(): Buffer {
    if (this.#body === undefined) {
      const stored = this.#bytes.subarray(this.#bodyStart, this.#bodyEnd)
      this.#body =
        (this.sysFlag & SysFlag.COMPRESSED) === 0 ? stored : decompressBody(stored, this.sysFlag, INFLATED_BYTES_MAX)
    }
    return this.#body
  }

  text(): string {
    return this.body.toString('utf8')
  }

  /** @throws {SyntaxError} when the body is not JSON */
  json<T = unknown>(): T {
    return JSON.parse(this.text()) as T
  }

  /** Every property, the system's own included. */
  get properties(): Readonly<Record<string, string>> {
    this.#properties ??= decodeProperties(this.#bytes, this.#propertiesStart, this.#propertiesEnd)
    return this.#properties
  }

  /** Topic it was sent to; of a retry the original one. */
  get topic(): string {
    return this.properties[PropertyName.RETRY_TOPIC] ?? this.storedTopic
  }

  /** Topic it was read from: `%RETRY%<group>` for a retry. */
  get storedTopic(): string {
    return this.#bytes.toString('utf8', this.#topicStart, this.#topicEnd)
  }

  /** Its sender waits for a reply. */
  get isRequest(): boolean {
    if (this.#properties !== undefined) return this.#properties[REPLY_TO] !== undefined
    // Most messages are none, and need not have their properties decoded to tell.
    const properties = this.#bytes.subarray(this.#propertiesStart, this.#propertiesEnd)
    return properties.includes(REPLY_TO) && this.properties[REPLY_TO] !== undefined
  }

  /** 0, the lowest, when its sender gave none. */
  get priority(): number {
    if (this.#priority === undefined) {
      // Most messages have none, and need not have their properties decoded to tell.
      const properties = this.#bytes.subarray(this.#propertiesStart, this.#propertiesEnd)
      const priority = properties.includes(PropertyName.PRIORITY)
        ? Number(this.properties[PropertyName.PRIORITY] ?? 0)
        : 0
      this.#priority = Number.isSafeInteger(priority) && priority > 0 ? priority : 0
    }
    return this.#priority
  }

  /** Empty text when the message has no tag. */
  get tag(): string {
    return this.properties[PropertyName.TAGS] ?? ''
  }

  get keys(): string[] {
    const keys = this.properties[PropertyName.KEYS]
    return keys === undefined || keys === '' ? [] : keys.split(' ')
  }

  /** The producer's id: the same for every delivery and retry. */
  get messageId(): string {
    return this.properties[PropertyName.UNIQ_KEY] ?? this.offsetMessageId
  }

  /** Address and log position of this copy. */
  get offsetMessageId(): string {
    const bornHostBytes = (this.sysFlag & SysFlag.BORN_HOST_V6) === 0 ? 8 : 20
    const at = this.#start + BORN_HOST_AT + bornHostBytes + 8
    const hostBytes = (this.sysFlag & SysFlag.STORE_HOST_V6) === 0 ? 8 : 20
    return offsetMessageId(this.#bytes.subarray(at, at + hostBytes), this.physicalOffset)
  }

  /** When the producer made it, by the producer's clock. */
  get bornAt(): Date {
    return new Date(Number(this.#view().getBigInt64(BORN_AT)))
  }

  get bornTimestamp(): number {
    return Number(this.#view().getBigInt64(BORN_AT))
  }

  /** When the broker stored it, by the broker's clock. */
  get storedAt(): Date {
    return new Date(this.#storeTimestamp)
  }

  /** The application's 32-bit flag. */
  get flag(): number {
    return this.#view().getInt32(FLAG_AT)
  }

  /** The body as it lies in the log, possibly compressed (see sysFlag). */
  get storedBody(): Buffer {
    return this.#bytes.subarray(this.#bodyStart, this.#bodyEnd)
  }

  #view(): DataView {
    return new DataView(this.#bytes.buffer, this.#bytes.byteOffset + this.#start)
  }
}
