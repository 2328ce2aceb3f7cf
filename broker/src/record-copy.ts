import { emptyRecordFields, type RecordFields, RecordView } from '@tandemmq/protocol'

/** The fields of a stored record, ready to be appended again somewhere else. Reused; valid until the next {@link load}. */
export class RecordCopy {
  readonly view = new RecordView()
  readonly fields: RecordFields = emptyRecordFields()
  readonly #shortBornHost = Buffer.alloc(8)
  readonly #longBornHost = Buffer.alloc(20)
  readonly #shortStoreHost = Buffer.alloc(8)
  readonly #longStoreHost = Buffer.alloc(20)

  /** @param record one whole stored record, starting at 0 */
  load(record: Buffer): void {
    const { view, fields } = this
    view.at(record, 0)
    fields.queueId = view.queueId
    fields.flag = view.flag
    fields.sysFlag = view.sysFlag
    fields.bornTimestamp = view.bornTimestamp
    const born = view.bornHostEnd - view.bornHostStart === 8 ? this.#shortBornHost : this.#longBornHost
    const store = view.storeHostEnd - view.storeHostStart === 8 ? this.#shortStoreHost : this.#longStoreHost
    for (let i = 0; i < born.length; i++) born[i] = record[view.bornHostStart + i] as number
    for (let i = 0; i < store.length; i++) store[i] = record[view.storeHostStart + i] as number
    fields.bornHost = born
    fields.storeHost = store
    fields.reconsumeTimes = view.reconsumeTimes
    fields.preparedTransactionOffset = 0
    fields.body = record
    fields.bodyStart = view.bodyStart
    fields.bodyEnd = view.bodyEnd
    fields.properties = record
    fields.propertiesStart = view.propertiesStart
    fields.propertiesEnd = view.propertiesEnd
  }
}
