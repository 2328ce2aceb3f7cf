import { encodeRecord, PROPERTIES_BYTES_MAX, PropertyName } from '@tandemmq/protocol'
import { propertyHead, PropertyRewriter } from '../../property-rewriter.ts'
import { RecordCopy } from '../../record-copy.ts'
import { type Receipt, receiptText } from './receipt.ts'

const HEAD = propertyHead(PropertyName.POP_CK)

/** Makes copies from a retry topic look like the messages they were made of, as a stock broker does (remoting.md 2B-POP). */
export class OriginalMessages {
  readonly #brokerName: string
  readonly #copy = new RecordCopy()
  readonly #rewriter = new PropertyRewriter({ drop: [PropertyName.POP_CK] })

  constructor(brokerName: string) {
    this.#brokerName = brokerName
  }

  /**
   * @param record as stored
   * @param topic of the original
   * @param receipt undefined: nobody has a lease of it
   * @returns the record with that topic and with its receipt, which says that it is a copy
   */
  of(record: Buffer, topic: Buffer, receipt: Receipt | undefined, startOffset: number): Buffer {
    const { view, fields } = this.#copy
    const rewriter = this.#rewriter
    this.#copy.load(record)
    fields.topic = topic
    fields.queueOffset = view.queueOffset
    fields.physicalOffset = view.physicalOffset
    fields.storeTimestamp = view.storeTimestamp
    fields.preparedTransactionOffset = view.preparedTransactionOffset
    rewriter.load(record, fields.propertiesStart, fields.propertiesEnd)
    if (receipt !== undefined) {
      rewriter.putText(HEAD, receiptText(receipt, startOffset, this.#brokerName, fields.queueId, fields.queueOffset))
    }
    // Without room for it the client makes the receipt itself, from the retry topic's name and the answer's header.
    if (rewriter.end > PROPERTIES_BYTES_MAX) return record
    fields.properties = rewriter.bytes
    fields.propertiesStart = 0
    fields.propertiesEnd = rewriter.end
    return encodeRecord(fields)
  }
}
