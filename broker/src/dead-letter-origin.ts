import { parseOffsetMessageId, PropertyName, RecordView } from '@tandemmq/protocol'
import type { LogWriter } from './log-writer.ts'
import { propertyHead, type PropertyRewriter } from './property-rewriter.ts'

/** What a dead letter knows about itself; a message on its way back has none of it. */
export const DEAD_LETTER_PROPERTIES: readonly string[] = [
  PropertyName.DLQ_REASON,
  PropertyName.DLQ_ORIGIN_TOPIC,
  PropertyName.DLQ_ORIGIN_MESSAGE_ID,
  PropertyName.DLQ_ORIGIN_QUEUE_ID,
  PropertyName.DLQ_ORIGIN_QUEUE_OFFSET,
]

const head = {
  queueId: propertyHead(PropertyName.DLQ_ORIGIN_QUEUE_ID),
  queueOffset: propertyHead(PropertyName.DLQ_ORIGIN_QUEUE_OFFSET),
}
const view = new RecordView()

/** Adds queue and offset of the message a dead letter began as, unless retention took it or another broker has it. */
export function putOriginPlace(
  rewriter: PropertyRewriter,
  log: Pick<LogWriter, 'read'>,
  topic: string,
  originId: string,
): void {
  const place = physicalOffsetOf(originId)
  const record = place === undefined ? undefined : log.read(place)
  if (record === undefined || !view.at(record, 0)) return
  if (view.physicalOffset !== place || view.topic() !== topic) return
  rewriter.putNumber(head.queueId, view.queueId)
  rewriter.putNumber(head.queueOffset, view.queueOffset)
}

function physicalOffsetOf(id: string): number | undefined {
  try {
    return Number(parseOffsetMessageId(id).physicalOffset)
  } catch {
    return undefined
  }
}
