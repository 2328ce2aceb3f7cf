import { type RecordFields, type RecordView, SysFlag, SystemTopic, emptyRecordFields } from '@tandemmq/protocol'
import type { LogWriter } from './log-writer.ts'
import { sourceMark } from './settles.ts'
import type { AppendCompletion } from './store/index.ts'

const OP_TOPIC = Buffer.from(SystemTopic.OP_HALF)
const OP_PROPERTIES = Buffer.from('TAGS\x01d\x02')

/**
 * Op records: "the half message or the parked delayed message at this physical offset will never be delivered". Topic
 * RMQ_SYS_TRANS_OP_HALF_TOPIC queue 0, tag `d`, the body says the offset as text for human readers.
 */
export class OpRecords {
  readonly #log: LogWriter
  readonly #fields: RecordFields = emptyRecordFields()
  readonly #body = Buffer.alloc(20)

  constructor(log: LogWriter) {
    this.#log = log
  }

  /** Of the op record appended last. */
  get physicalOffset(): number {
    return this.#fields.physicalOffset
  }

  /** @returns store time of the op record */
  append(settled: number, now: number, completion: AppendCompletion): number {
    const fields = this.#fields
    fields.bornTimestamp = now
    fields.body = this.#body
    fields.bodyEnd = this.#body.write(String(settled), 0, 'latin1')
    fields.properties = OP_PROPERTIES
    fields.propertiesEnd = OP_PROPERTIES.length
    fields.preparedTransactionOffset = sourceMark(settled)
    this.#log.append(SystemTopic.OP_HALF, 0, fields, completion)
    return fields.storeTimestamp
  }
}

/** What a record that names a source did to it, if that source is a half message: a commit copy says so in its flags. */
export function settlementOf(record: RecordView, bytes: Buffer): 'committed' | 'rolledBack' | undefined {
  if (isOpRecord(record, bytes)) return 'rolledBack'
  const kind = record.sysFlag & SysFlag.TRANSACTION_MASK
  return kind === SysFlag.TRANSACTION_COMMIT ? 'committed' : undefined
}

export function isOpRecord(record: RecordView, bytes: Buffer): boolean {
  return topicIs(record, bytes, OP_TOPIC)
}

export function topicIs(record: RecordView, bytes: Buffer, name: Buffer): boolean {
  const start = record.topicStart
  if (record.topicEnd - start !== name.length) return false
  for (let i = 0; i < name.length; i++) if (bytes[start + i] !== name[i]) return false
  return true
}
