import { decodeProperties, PropertyName, type RecordFields, RecordView, SystemTopic } from '@tandemmq/protocol'
import { recallHandle } from '../delay/index.ts'
import type { MessageStore } from '../store/index.ts'
import type { SendReply } from './send-reply.ts'

/** The stored message that a repeat is answered with. */
export class FirstMessage {
  readonly #store: MessageStore
  readonly #brokerName: string
  readonly #view = new RecordView()
  physicalOffset = -1

  constructor(options: { store: MessageStore; brokerName: string }) {
    this.#store = options.store
    this.#brokerName = options.brokerName
  }

  /** @returns false when retention removed it */
  load(physicalOffset: number): boolean {
    const record = this.#store.read(physicalOffset)
    if (record === undefined) return false
    this.#view.at(record, 0)
    this.physicalOffset = physicalOffset
    return true
  }

  get queueId(): number {
    return this.#view.queueId
  }

  get queueOffset(): number {
    return this.#view.queueOffset
  }

  /** Whether the repeat has another body: somebody uses one key for two things. */
  differsFrom({ body, bodyStart, bodyEnd }: RecordFields): boolean {
    const { bytes, bodyStart: start, bodyEnd: end } = this.#view
    return body.compare(bytes, start, end, bodyStart, bodyEnd) !== 0
  }

  /** @param key unique id of the repeat, for a first message without one */
  fill(reply: SendReply, topic: string, key: string): void {
    const { bytes, propertiesStart, propertiesEnd } = this.#view
    const stored = decodeProperties(bytes, propertiesStart, propertiesEnd)
    reply.queueId = this.queueId
    reply.queueOffset = this.queueOffset
    reply.physicalOffset = this.physicalOffset
    // Its own key, which differs from that of a repeat recognised by its dedup key.
    reply.key = stored[PropertyName.UNIQ_KEY] ?? key
    reply.duplicate = true
    const parkedIn = this.#view.topic()
    if (parkedIn !== SystemTopic.TIMER && parkedIn !== SystemTopic.SCHEDULE) return
    const deliverAt = Number(stored[PropertyName.TIMER_OUT_MS] ?? 0)
    if (deliverAt > 0) reply.recallHandle = recallHandle(topic, this.#brokerName, deliverAt, reply.key)
  }
}
