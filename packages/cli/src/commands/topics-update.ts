import { withAdmin } from '../admin.ts'
import type { Command } from '../command.ts'
import { UsageError } from '../command.ts'
import { keptQueues, keptText, topicChanges, topicOptions } from './topic-options.ts'

export const topicsUpdate: Command = {
  path: ['topics', 'update'],
  summary: 'Change settings of a topic on every broker; what is not named stays',
  positionals: ['TOPIC'],
  options: {
    queues: { value: 'N', help: 'queues per broker; those that hold messages stay readable' },
    ...topicOptions,
  },
  example: 'topics update orders --perm read',
  async run(call) {
    const [topic = ''] = call.positionals
    const queues = call.integer('queues')
    const { perm, order, attributes } = topicChanges(call)
    const given = [queues, perm, order, ...Object.keys(attributes)]
    if (given.every((value) => value === undefined)) throw new UsageError('nothing to change was given')
    const brokers = await withAdmin(call, async (admin) => {
      await admin.updateTopic(topic, { queues, perm, order, attributes })
      return admin.topicSettings(topic)
    })
    const kept = queues === undefined ? [] : keptQueues(queues, brokers)
    call.report({ topic, brokers }, () =>
      [`topic ${topic} is changed on ${brokers.length} broker(s)`, ...kept.map(keptText)].join('\n'),
    )
  },
}
