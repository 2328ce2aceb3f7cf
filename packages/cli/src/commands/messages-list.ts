import { withAdmin } from '../admin.ts'
import type { Command } from '../command.ts'
import { instantOf } from '../instant.ts'
import { messageTable, shownMessage } from '../message-text.ts'

export const messagesList: Command = {
  path: ['messages', 'list'],
  summary: 'List messages of a topic by the time they were stored, oldest first',
  options: {
    topic: { value: 'TOPIC', help: 'the topic' },
    from: { value: 'INSTANT', help: 'stored then or later; default: the first message still there' },
    to: { value: 'INSTANT', help: 'stored then or earlier; default: the last message' },
    limit: { value: 'N', help: 'at most so many, default 100' },
  },
  example: 'messages list --topic orders --from 2026-01-31T12:00:00Z --to 2026-01-31T12:05:00Z',
  async run(call) {
    const topic = call.required('topic')
    const [from, to] = ['from', 'to'].map((option) => {
      const text = call.text(option)
      return text === undefined ? undefined : instantOf(option, text)
    })
    const limit = call.integer('limit')
    const found = await withAdmin(call, (admin) => admin.messages({ topic, from, to, limit }))
    call.report(found.map(shownMessage), (messages) => messageTable(messages, `no message of ${topic} in that time`))
  },
}
