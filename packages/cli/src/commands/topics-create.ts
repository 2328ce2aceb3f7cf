import { withAdmin } from '../admin.ts'
import type { Command } from '../command.ts'
import { keptQueues, keptText, topicChanges, topicOptions } from './topic-options.ts'

export const topicsCreate: Command = {
  path: ['topics', 'create'],
  summary: 'Create a topic on every broker, or change its settings',
  positionals: ['TOPIC'],
  options: {
    queues: { value: 'N', help: 'queues per broker, default 4; queues that hold messages stay readable' },
    ...topicOptions,
  },
  example: 'topics create orders --queues 8 --dedup-window-ms 3600000',
  async run(call) {
    const [topic = ''] = call.positionals
    const queues = call.integer('queues') ?? 4
    const { perm, order, attributes } = topicChanges(call)
    const kept = await withAdmin(call, async (admin) => {
      await admin.createTopic(topic, { queues, perm, order })
      if (Object.keys(attributes).length > 0) await admin.updateTopic(topic, { attributes })
      return keptQueues(queues, await admin.topicSettings(topic))
    })
    call.report(
      { topic, queues, ...(Object.keys(attributes).length > 0 && { attributes }), ...(kept.length > 0 && { kept }) },
      () => [`topic ${topic} has ${queues} queues`, ...kept.map(keptText)].join('\n'),
    )
  },
}
