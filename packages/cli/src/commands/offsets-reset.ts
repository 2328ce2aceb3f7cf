import { withAdmin } from '../admin.ts'
import { UsageError } from '../command.ts'
import type { Command } from '../command.ts'

export const offsetsReset: Command = {
  path: ['offsets', 'reset'],
  summary: 'Move a consumer group in all queues of a topic, also while it runs',
  options: {
    group: { value: 'GROUP', help: 'the consumer group' },
    topic: { value: 'TOPIC', help: 'the topic' },
    to: {
      value: 'WHERE',
      help: '`first`, `last`, or an instant such as 2026-01-31T12:00:00Z (first message stored then)',
    },
  },
  destructive: true,
  example: 'offsets reset --group billing --topic orders --to 2026-01-31T12:00:00Z',
  async run(call) {
    const group = call.required('group')
    const topic = call.required('topic')
    const to = whereOf(call.required('to'))
    const where = to instanceof Date ? to.toISOString() : to
    await call.confirm(`Move group ${group} to ${where} in every queue of topic ${topic}?`)
    await withAdmin(call, (admin) => admin.resetOffset(group, topic, to))
    call.report({ group, topic, to: where }, () => `group ${group} goes on from ${where} in topic ${topic}`)
  },
}

function whereOf(text: string): 'first' | 'last' | Date {
  if (text === 'first' || text === 'last') return text
  const instant = new Date(text)
  if (Number.isNaN(instant.getTime())) throw new UsageError(`--to takes first, last or an instant, not "${text}"`)
  return instant
}
