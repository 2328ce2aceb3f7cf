import type { WaitingTimer } from '@tandemmq/client'
import { withAdmin } from '../admin.ts'
import type { Call, Command } from '../command.ts'
import { dueTimeOf } from '../instant.ts'
import { textTable } from '../table.ts'

export const timersList: Command = {
  path: ['timers', 'list'],
  summary: 'List delayed messages that wait, by due time',
  options: {
    topic: { value: 'TOPIC', help: 'only those for this topic' },
    key: { value: 'KEY', help: 'only those with this key or message id; needs --topic' },
    from: { value: 'WHEN', help: 'due from this instant or duration from now, such as 30s, 5m, 2h, 1d' },
    to: { value: 'WHEN', help: 'due until then' },
    max: { value: 'N', help: 'at most so many, default 100' },
  },
  example: 'timers list --topic orders --to 1h',
  async run(call) {
    const timers = await withAdmin(call, async (admin) => {
      const found: WaitingTimer[] = []
      for await (const timer of admin.timers(queryOf(call))) found.push(timer)
      return found
    })
    call.report(timers, timersTable)
  },
}

export function timersTable(timers: readonly WaitingTimer[]): string {
  return textTable(
    ['DUE', 'TOPIC', 'MESSAGE', 'KEYS', 'BYTES', 'BROKER', 'NOTE'],
    timers.map(({ deliverAt, topic, messageId, keys, bodyBytes, brokerName, isOrphan }) => [
      deliverAt.toISOString(),
      topic,
      messageId,
      keys.join(' '),
      bodyBytes,
      brokerName,
      isOrphan ? 'topic deleted, will not be delivered' : '',
    ]),
    'no timers',
  )
}

function queryOf(call: Call) {
  const from = call.text('from')
  const to = call.text('to')
  return {
    ...{ topic: call.text('topic'), key: call.text('key'), limit: call.integer('max') ?? 100 },
    ...{ from: from === undefined ? undefined : dueTimeOf('from', from) },
    ...{ to: to === undefined ? undefined : dueTimeOf('to', to) },
  }
}
