import { withAdmin } from '../admin.ts'
import type { Command } from '../command.ts'
import { messageTable, shownMessage } from '../message-text.ts'

export const messagesQuery: Command = {
  path: ['messages', 'query'],
  summary: 'Find messages of a topic by key',
  options: {
    topic: { value: 'TOPIC', help: 'the topic' },
    key: { value: 'KEY', help: 'one of the keys the message was sent with' },
    max: { value: 'N', help: 'at most so many per broker, default 32' },
  },
  example: 'messages query --topic orders --key o-1',
  async run(call) {
    const topic = call.required('topic')
    const key = call.required('key')
    const max = call.integer('max')
    const found = await withAdmin(call, (admin) => admin.messagesByKey(topic, key, { max }))
    call.report(found.map(shownMessage), (messages) => messageTable(messages, `no message with key ${key}`))
  },
}
