import { withAdmin } from '../admin.ts'
import type { Command } from '../command.ts'

export const topicsDelete: Command = {
  path: ['topics', 'delete'],
  summary: 'Delete a topic with its messages from every broker',
  positionals: ['TOPIC'],
  destructive: true,
  example: 'topics delete orders-old',
  async run(call) {
    const [topic = ''] = call.positionals
    await call.confirm(`Delete topic ${topic} with its messages from every broker?`)
    await withAdmin(call, (admin) => admin.deleteTopic(topic))
    call.report({ topic, deleted: true }, () => `topic ${topic} is gone`)
  },
}
