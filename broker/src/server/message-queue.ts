import { fieldsOf, listOf, numberOf, textOf } from '../queueing/index.ts'

/** A queue as bodies name it (remoting.md 1.8). */
export interface MessageQueue {
  brokerName: string
  queueId: number
  topic: string
}

/** @throws {ProtocolError} FIELD_INVALID */
export function messageQueuesOf(body: Record<string, unknown>, name: string): MessageQueue[] {
  return listOf(body, name).map((value) => {
    const fields = fieldsOf(value, `an entry of ${name}`)
    return {
      brokerName: textOf(fields, 'brokerName'),
      queueId: numberOf(fields['queueId'], -1),
      topic: textOf(fields, 'topic'),
    }
  })
}
