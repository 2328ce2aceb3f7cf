import type { DeadLetter, DeadLetterQuery } from '@tandemmq/client'
import type { Call, OptionSpec } from './command.ts'
import { shownMessage } from './message-text.ts'
import { instantOf } from './instant.ts'

/** Options that say which dead letters. */
export const queryOptions: Readonly<Record<string, OptionSpec>> = {
  from: { value: 'INSTANT', help: 'died then or later, such as 2026-01-31T12:00:00Z' },
  to: { value: 'INSTANT', help: 'died before' },
  id: { value: 'ID', help: 'only this message; may be given more than once', multiple: true },
  topic: { value: 'TOPIC', help: 'only messages that were sent to this topic' },
  reason: { value: 'TEXT', help: 'only those whose reason contains this' },
}

/** @throws {UsageError} */
export function queryOf(call: Call): DeadLetterQuery {
  const ids = call.texts('id')
  const topic = call.text('topic')
  const reason = call.text('reason')
  const fits = (one: DeadLetter): boolean =>
    (topic === undefined || one.origin.topic === topic) && (reason === undefined || one.reason.includes(reason))
  return {
    from: optionalInstant(call, 'from'),
    to: optionalInstant(call, 'to'),
    messageIds: ids.length === 0 ? undefined : ids,
    filter: topic === undefined && reason === undefined ? undefined : fits,
  }
}

/** What `--json` prints of one. */
export function shownDeadLetter(one: DeadLetter) {
  const { reason, attempts, diedAt, offset, origin, isRedriven, message } = one
  return { reason, attempts, diedAt, offset, origin, isRedriven, message: shownMessage(message) }
}

function optionalInstant(call: Call, option: string): Date | undefined {
  const text = call.text(option)
  return text === undefined ? undefined : instantOf(option, text)
}
