import { OutboxError } from '../outbox-error.ts'
import type { Schema } from '../schema/schema.ts'
import { literal } from '../schema/schema.ts'
import type { InboxKey, InboxMessage } from './inbox-key.ts'
import { keyOf } from './inbox-key.ts'

export interface ClaimOptions {
  schema: Schema
  groupId: number
  /** Messages stored longer ago are not remembered. */
  retentionMs: number
  acceptsReplays: boolean
  isFenced: boolean
  nowMs: number
}

/**
 * The statement that notes a message as seen: one row changed for a new one, none for a repeat. A repeat that races the
 * first waits for its transaction.
 * @throws {OutboxError} REPLAY_TOO_OLD when nobody can know any more; OPTION_INVALID for a fence without a queue offset
 */
export function claimStatement(message: InboxMessage, options: ClaimOptions): string {
  const key = keyOf(message)
  const oldestMs = options.nowMs - options.retentionMs
  if (!options.acceptsReplays && isForgotten(message, key, oldestMs)) {
    throw new OutboxError(
      'REPLAY_TOO_OLD',
      `message ${message.messageId} is older than the inbox remembers: whether it was handled is not known; replay it with acceptReplays`,
    )
  }
  // A retry has a place of its own in another topic.
  if (options.isFenced && message.storedTopic?.startsWith('%RETRY%') !== true) return fence(message, options)
  return keyed(key, oldestMs, options)
}

function isForgotten({ storedAt }: InboxMessage, key: InboxKey, oldestMs: number): boolean {
  // A message delayed for weeks has an old key and is stored anew when its time has come.
  if (storedAt !== undefined) return storedAt.getTime() < oldestMs
  return 'uuid' in key && key.atMs < oldestMs
}

function keyed(key: InboxKey, oldestMs: number, { schema, groupId }: ClaimOptions): string {
  const foreign = `insert into ${schema.inboxForeign} (consumer_group, message_key)`
  if (!('uuid' in key)) return `${foreign} values (${groupId},${literal(key.text)}) on conflict do nothing`
  const { uuid, n, atMs } = key
  if (atMs >= oldestMs) return `insert into ${schema.inbox} values (${groupId}, '${uuid}', ${n}) on conflict do nothing`
  // Its partition is gone or will be soon: remembered by the time of its arrival instead. It may have come before, in time.
  return `${foreign} select ${groupId}, '${uuid}:${n}' where not exists (select from ${schema.inbox}
where consumer_group = ${groupId} and message_key = '${uuid}' and n = ${n}) on conflict do nothing`
}

/**
 * One row for each queue instead of one for each message. A lower offset that was stored later than all before is no repeat:
 * the queue was made anew.
 */
function fence(
  { storedTopic, brokerName, queueId, queueOffset, storedAt }: InboxMessage,
  options: ClaimOptions,
): string {
  if (storedTopic === undefined || brokerName === undefined || queueId === undefined || queueOffset === undefined) {
    throw new OutboxError(
      'OPTION_INVALID',
      'fence needs messages with storedTopic, brokerName, queueId and queueOffset',
    )
  }
  const place = `${options.groupId},${literal(storedTopic)},${literal(brokerName)},${Number(queueId)}`
  return `insert into ${options.schema.inboxOffset} as f values (${place},${BigInt(queueOffset)},${storedAt?.getTime() ?? 0})
on conflict (consumer_group, topic, broker, queue_id) do update
set o = excluded.o, stored_at = greatest(f.stored_at, excluded.stored_at) where f.o < excluded.o or f.stored_at < excluded.stored_at`
}
