import {
  encodeProperties,
  type HeaderView,
  PropertyName,
  PropertyScan,
  type UniqueIdGenerator,
} from '@tandemmq/protocol'
import type { Clock } from '@tandemmq/remoting'
import { BrokerError } from '../broker-error.ts'

/** remoting.md 2A: the property block's length is a signed 16-bit field of the record. */
const PROPERTIES_BYTES_MAX = 32_767
/** A byte of the block takes up to six in a JSON header: \u0001. */
const ESCAPED_BYTES_MAX = 6 * PROPERTIES_BYTES_MAX
const SEPARATOR = 0x02

/**
 * The property block of the message at hand, in one scratch buffer from frame to log: copied out of the header (which
 * may spell the separators as \u0001), scanned once, and completed with what a stock broker adds to every message.
 */
export class MessageProperties {
  readonly bytes = Buffer.allocUnsafe(ESCAPED_BYTES_MAX)
  readonly scan = new PropertyScan()
  readonly #suffix: Buffer
  readonly #uniqueIds: UniqueIdGenerator
  readonly #clock: Clock
  /** End of the block in `bytes`; it starts at 0. */
  end = 0

  constructor(options: { clusterName: string; uniqueIds: UniqueIdGenerator; clock: Clock }) {
    this.#uniqueIds = options.uniqueIds
    this.#clock = options.clock
    this.#suffix = encodeProperties({
      [PropertyName.MSG_REGION]: 'DefaultRegion',
      [PropertyName.TRACE_ON]: 'true',
      [PropertyName.CLUSTER]: options.clusterName,
    })
  }

  /** @param index ext field with the block, -1 when the message has none */
  fromHeader(header: HeaderView, index: number): void {
    let end = 0
    if (index >= 0) {
      if (header.valueEnd(index) - header.valueStart(index) > ESCAPED_BYTES_MAX) this.#refuse()
      end = header.copyValue(index, this.bytes, 0)
    }
    this.#complete(end)
  }

  fromBytes(source: Buffer, start: number, end: number): void {
    if (end - start > PROPERTIES_BYTES_MAX) this.#refuse()
    source.copy(this.bytes, 0, start, end)
    this.#complete(end - start)
  }

  #complete(copied: number): void {
    let end = copied
    if (end > PROPERTIES_BYTES_MAX) this.#refuse()
    if (end > 0 && this.bytes[end - 1] !== SEPARATOR) this.bytes[end++] = SEPARATOR
    this.scan.scan(this.bytes, 0, end)
    if (this.scan.popCkStart >= 0) end = this.#strip(PropertyName.POP_CK, end)
    if (this.scan.uniqKeyStart < 0) {
      end += this.bytes.write(
        `${PropertyName.UNIQ_KEY}\x01${this.#uniqueIds.next(this.#clock.now())}\x02`,
        end,
        'latin1',
      )
      this.scan.scan(this.bytes, 0, end)
    }
    // The additions are a courtesy to consumers; a message at the very limit goes without rather than being refused.
    if (end + this.#suffix.length <= PROPERTIES_BYTES_MAX) {
      this.bytes.set(this.#suffix, end)
      end += this.#suffix.length
    }
    if (end > PROPERTIES_BYTES_MAX) this.#refuse()
    this.end = end
  }

  /** A producer must not forge a POP receipt (remoting.md 2A). */
  #strip(name: string, end: number): number {
    const kept = this.bytes
      .toString('utf8', 0, end)
      .split('\x02')
      .filter((entry) => entry !== '' && !entry.startsWith(`${name}\x01`))
      .map((entry) => `${entry}\x02`)
      .join('')
    const length = this.bytes.write(kept, 0, 'utf8')
    this.scan.scan(this.bytes, 0, length)
    return length
  }

  #refuse(): never {
    throw new BrokerError('MESSAGE_ILLEGAL', `properties exceed ${PROPERTIES_BYTES_MAX} bytes`)
  }
}
