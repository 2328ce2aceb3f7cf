import { timeOfId } from '../database/transaction-id.ts'
import { DEDUP_KEY } from '../settlement/half-sender.ts'

/** What an inbox reads of a message; every message of @tandemmq/client has it all. */
export interface InboxMessage {
  readonly messageId: string
  readonly properties: Readonly<Record<string, string>>
  /** When the broker stored it; a replay is as old as it was the first time. */
  readonly storedAt?: Date
  /** The four below are what `fence` goes by. */
  readonly storedTopic?: string
  readonly brokerName?: string
  readonly queueId?: number
  readonly queueOffset?: bigint
}

/** A message's name among those of its consumer group: `text` where its producer is none of ours. */
export type InboxKey = { uuid: string; n: number; atMs: number } | { text: string }

/** The producer's key where there is one: it survives repeats of the producer, of the relay and of the broker. */
export function keyOf(message: InboxMessage): InboxKey {
  const dedupKey = message.properties[DEDUP_KEY]
  const ours = /^([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}):(\d{1,9})(?::f)?$/.exec(
    dedupKey ?? '',
  )
  if (ours === null) return { text: (dedupKey ?? message.messageId).replaceAll('\0', '') }
  const uuid = ours[1] ?? ''
  return { uuid, n: Number(ours[2]), atMs: timeOfId(uuid) }
}
