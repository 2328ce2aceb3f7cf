import type { QueueProgress } from '@tandemmq/client'
import { withAdmin } from '../admin.ts'
import type { Command } from '../command.ts'
import { textTable } from '../table.ts'

export const offsetsShow: Command = {
  path: ['offsets', 'show'],
  summary: 'Show where a consumer group is in every queue',
  options: {
    group: { value: 'GROUP', help: 'the consumer group' },
    topic: { value: 'TOPIC', help: 'only queues of this topic' },
  },
  example: 'offsets show --group billing --topic orders',
  async run(call) {
    const group = call.required('group')
    const topic = call.text('topic')
    const progress = await withAdmin(call, (admin) => admin.progress(group))
    call.report(
      progress.filter((queue) => topic === undefined || queue.topic === topic),
      progressTable,
    )
  },
}

export function progressTable(progress: readonly QueueProgress[]): string {
  return textTable(
    ['TOPIC', 'BROKER', 'QUEUE', 'NEXT', 'END', 'BEHIND'],
    progress
      .toSorted(
        (a, b) => a.topic.localeCompare(b.topic) || a.brokerName.localeCompare(b.brokerName) || a.queueId - b.queueId,
      )
      .map(({ topic, brokerName, queueId, committedOffset, maxOffset }) => [
        topic,
        brokerName,
        queueId,
        committedOffset,
        maxOffset,
        maxOffset - committedOffset,
      ]),
    'no positions',
  )
}
