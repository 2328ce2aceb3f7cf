import { withAdmin } from '../admin.ts'
import { type Command, UsageError } from '../command.ts'

export const topicsCreate: Command = {
  path: ['topics', 'create'],
  summary: 'Create a topic on every broker, or change its settings',
  positionals: ['TOPIC'],
  options: {
    queues: { value: 'N', help: 'queues per broker, default 4; fewer than before hide messages' },
    type: { value: 'TYPE', help: 'normal, or priority: each queue is one, the highest number first' },
    'dedup-window-ms': { value: 'N', help: 'how long repeats are recognised, at most 7 days; 0: never' },
  },
  example: 'topics create orders --queues 8 --dedup-window-ms 3600000',
  async run(call) {
    const [topic = ''] = call.positionals
    const queues = call.integer('queues') ?? 4
    const type = call.text('type')
    if (type !== undefined && type !== 'normal' && type !== 'priority') {
      throw new UsageError(`--type must be normal or priority, not "${type}"`)
    }
    const dedupWindowMs = call.integer('dedup-window-ms')
    await withAdmin(call, (admin) => admin.createTopic(topic, { queues, type, dedupWindowMs }))
    const settings = { ...(type && { type }), ...(dedupWindowMs !== undefined && { dedupWindowMs }) }
    call.report({ topic, queues, ...settings }, () => `topic ${topic} has ${queues} queues`)
  },
}
