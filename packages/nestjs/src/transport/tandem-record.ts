import type { OutgoingMessage } from '@tandemmq/client'

/** What a message can carry beside its body: every field of {@link OutgoingMessage} but topic and body. */
export type TandemRecordFields = Omit<OutgoingMessage, 'topic' | 'body'>

/** Data for `TandemClient.emit` and `send` with what only RocketMQ knows: `new TandemRecord(order, { tag: 'created', keys: ['o-1'] })`. */
export class TandemRecord<T = unknown> {
  readonly data: T
  readonly fields: TandemRecordFields

  constructor(data: T, fields: TandemRecordFields = {}) {
    this.data = data
    this.fields = fields
  }
}
