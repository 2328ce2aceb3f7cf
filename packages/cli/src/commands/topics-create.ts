import { withAdmin } from '../admin.ts'
import type { Command } from '../command.ts'

export const topicsCreate: Command = {
  path: ['topics', 'create'],
  summary: 'Create a topic on every broker, or change its number of queues',
  positionals: ['TOPIC'],
  options: { queues: { value: 'N', help: 'queues per broker, default 4; fewer than before hide messages' } },
  example: 'topics create orders --queues 8',
  async run(call) {
    const [topic = ''] = call.positionals
    const queues = call.integer('queues') ?? 4
    await withAdmin(call, (admin) => admin.createTopic(topic, { queues }))
    call.report({ topic, queues }, () => `topic ${topic} has ${queues} queues`)
  },
}
