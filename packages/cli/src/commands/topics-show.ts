import { TandemError } from '@tandemmq/client'
import type { TopicSettings } from '@tandemmq/client'
import { withAdmin } from '../admin.ts'
import type { Command } from '../command.ts'
import { textTable } from '../table.ts'

export const topicsShow: Command = {
  path: ['topics', 'show'],
  summary: 'Show the settings and queues of a topic and the groups that consume it',
  positionals: ['TOPIC'],
  example: 'topics show orders',
  async run(call) {
    const [topic = ''] = call.positionals
    const shown = await withAdmin(call, async (admin) => {
      const brokers = await admin.topicSettings(topic)
      if (brokers.length === 0) throw new TandemError('TOPIC_NOT_EXIST', `no broker has a topic ${topic}`)
      return { topic, brokers, queues: await admin.topicQueues(topic), groups: await admin.topicGroups(topic) }
    })
    call.report(shown, ({ brokers, queues, groups }) =>
      [
        textTable(
          ['BROKER', 'READ', 'WRITE', 'PERM', 'ORDER', 'ATTRIBUTES'],
          brokers.map((one) => [
            one.brokerName,
            one.readQueues,
            one.writeQueues,
            permText(one),
            one.order ? 'yes' : 'no',
            Object.entries(one.attributes)
              .map(([name, value]) => `${name}=${value}`)
              .join(' ') || '-',
          ]),
        ),
        textTable(
          ['BROKER', 'QUEUE', 'FIRST', 'END', 'MESSAGES', 'NEWEST'],
          queues.map(({ brokerName, queueId, minOffset, maxOffset, storedAt }) => [
            brokerName,
            queueId,
            minOffset,
            maxOffset,
            maxOffset - minOffset,
            storedAt?.toISOString(),
          ]),
        ),
        groups.length === 0 ? 'no group consumes it' : `groups: ${groups.join(' ')}`,
      ].join('\n\n'),
    )
  },
}

function permText({ perm }: TopicSettings): string {
  const may = [(perm & 4) === 0 ? undefined : 'read', (perm & 2) === 0 ? undefined : 'write']
  return may.filter((word) => word !== undefined).join('+') || 'none'
}
