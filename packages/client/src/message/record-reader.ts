import { RecordView } from '@tandemmq/protocol'
import { ConsumedMessage } from './consumed-message.ts'

/**
 * The messages of a pull answer. They share its bytes. Reading stops at the first unreadable record, as Java does.
 * @param visit gets each message with its queue offset as a double
 */
export function readMessages(
  bytes: Buffer,
  brokerName: string,
  group: string,
  visit: (message: ConsumedMessage, queueOffset: number) => void,
): void {
  const view = new RecordView()
  let start = 0
  while (start < bytes.length) {
    if (!view.at(bytes, start)) return
    visit(new ConsumedMessage(bytes, start, view, brokerName, group), view.queueOffset)
    start += view.size
  }
}
