import { withAdmin } from '../admin.ts'
import type { Command } from '../command.ts'
import { textTable } from '../table.ts'

interface TopicRow {
  topic: string
  queues: number
  /** Messages still in the log, all queues together. */
  messages: bigint
}

const ofTheSystem =
  /^(%RETRY%|%DLQ%|RMQ_SYS_|rmq_sys_|TBW102$|SCHEDULE_TOPIC_XXXX$|OFFSET_MOVED_EVENT$|SELF_TEST_TOPIC$|BenchmarkTest$|DefaultCluster)/

export const topicsList: Command = {
  path: ['topics', 'list'],
  summary: 'List topics with their queues and messages',
  options: { all: { help: 'also retry topics, dead letter topics and those of the system' } },
  example: 'topics list --all',
  async run(call) {
    const rows = await withAdmin(call, async (admin) => {
      const names = (await admin.topics()).filter((name) => call.flag('all') || !ofTheSystem.test(name))
      const found: TopicRow[] = []
      for (const topic of names) {
        const queues = await admin.queueOffsets(topic).catch(() => [])
        const messages = queues.reduce((sum, { minOffset, maxOffset }) => sum + maxOffset - minOffset, 0n)
        found.push({ topic, queues: queues.length, messages })
      }
      return found
    })
    call.report(rows, (list) =>
      textTable(
        ['TOPIC', 'QUEUES', 'MESSAGES'],
        list.map(({ topic, queues, messages }) => [topic, queues, messages]),
        'no topics',
      ),
    )
  },
}
