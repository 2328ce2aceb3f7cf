import { PropertyScan, RecordView, SystemTopic } from '@tandemmq/protocol'
import { PropertyRewriter } from '../property-rewriter.ts'

const parkingTopics = [SystemTopic.HALF, SystemTopic.SCHEDULE, SystemTopic.TIMER, SystemTopic.HELD].map((name) =>
  Buffer.from(name),
)
const notSends = [SystemTopic.OP_HALF, '%RETRY%', '%DLQ%'].map((name) => Buffer.from(name))

/** Topic and key under which a stored record was sent, as ranges of its bytes. */
export class StoredKey {
  readonly #view = new RecordView()
  readonly #scan = new PropertyScan()
  readonly #real = new PropertyRewriter({ drop: [], note: ['REAL_TOPIC'] })
  topicStart = 0
  topicEnd = 0
  start = 0
  end = 0
  /** It is the key of the application, not the unique one. */
  isOwn = false
  storeTimestamp = 0

  /** @returns false when the record was not sent by a producer or has no key */
  load(record: RecordView, bytes: Buffer): boolean {
    this.topicStart = record.topicStart
    this.topicEnd = record.topicEnd
    this.storeTimestamp = record.storeTimestamp
    if (notSends.some((name) => startsWith(bytes, record.topicStart, record.topicEnd, name))) return false
    if (parkingTopics.some((name) => equal(bytes, record.topicStart, record.topicEnd, name))) {
      this.#real.load(bytes, record.propertiesStart, record.propertiesEnd)
      this.topicStart = this.#real.starts[0] as number
      this.topicEnd = this.#real.ends[0] as number
      if (this.topicStart < 0) return false
      if (startsWith(bytes, this.topicStart, this.topicEnd, notSends[1] as Buffer)) return false
    }
    this.#scan.scan(bytes, record.propertiesStart, record.propertiesEnd)
    const own = this.#scan.dedupKeyStart >= 0
    this.isOwn = own
    this.start = own ? this.#scan.dedupKeyStart : this.#scan.uniqKeyStart
    this.end = own ? this.#scan.dedupKeyEnd : this.#scan.uniqKeyEnd
    return this.start >= 0 && this.start < this.end
  }

  equals(record: Buffer, topic: Buffer, key: Buffer, start: number, end: number): boolean {
    this.#view.at(record, 0)
    return (
      this.load(this.#view, record) &&
      equal(record, this.topicStart, this.topicEnd, topic) &&
      this.end - this.start === end - start &&
      record.compare(key, start, end, this.start, this.end) === 0
    )
  }
}

function equal(bytes: Buffer, start: number, end: number, wanted: Buffer): boolean {
  return end - start === wanted.length && startsWith(bytes, start, end, wanted)
}

function startsWith(bytes: Buffer, start: number, end: number, wanted: Buffer): boolean {
  if (end - start < wanted.length) return false
  for (let i = 0; i < wanted.length; i++) if (bytes[start + i] !== wanted[i]) return false
  return true
}
