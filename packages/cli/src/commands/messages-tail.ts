import { PullConsumer } from '@tandemmq/client'
import type { Command } from '../command.ts'
import { UsageError } from '../command.ts'
import { shownMessage } from '../message-text.ts'

export const messagesTail: Command = {
  path: ['messages', 'tail'],
  summary: 'Print messages of a topic as they come, until SIGTERM or SIGINT; no position of any group moves',
  positionals: ['TOPIC'],
  options: {
    from: { value: 'WHERE', help: '`last` (default: what comes from now on), `first`, or an instant' },
    tag: { value: 'TAG', help: 'only messages with this tag', multiple: true },
    sql: { value: 'CONDITION', help: "only messages it is true of, e.g. region = 'eu'" },
    max: { value: 'N', help: 'end after so many' },
  },
  example: 'messages tail orders --tag created --json',
  async run(call) {
    const [topic = ''] = call.positionals
    const from = whereOf(call.text('from') ?? 'last')
    const max = call.integer('max') ?? Number.POSITIVE_INFINITY
    const tags = call.texts('tag')
    const sql = call.text('sql')
    if (sql !== undefined && tags.length > 0) throw new UsageError('--tag and --sql exclude each other')
    const filter = sql !== undefined ? { sql } : tags.length > 0 ? { tags } : '*'
    const { stop } = call.io
    await using consumer = new PullConsumer({ nameServers: call.nameServer, group: 'TOOLS_CONSUMER' })
    await consumer.start()
    let printed = 0
    if (max === 0) return
    for await (const message of consumer.messages(topic, { from, filter, signal: stop })) {
      call.reportLine(shownMessage(message), ({ storedAt, messageId, tag, keys, body, bodyBase64 }) =>
        [storedAt.toISOString(), messageId, tag || '-', keys.join(',') || '-', body ?? bodyBase64].join(' '),
      )
      if (++printed >= max) return
    }
  },
}

function whereOf(text: string): 'first' | 'last' | Date {
  if (text === 'first' || text === 'last') return text
  const instant = new Date(text)
  if (Number.isNaN(instant.getTime())) throw new UsageError(`--from takes first, last or an instant, not "${text}"`)
  return instant
}
