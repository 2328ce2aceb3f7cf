import type { MessageMark, ResetPreview } from '@tandemmq/client'
import { withAdmin } from '../admin.ts'
import { UsageError } from '../command.ts'
import type { Command } from '../command.ts'
import { textTable } from '../table.ts'

export const offsetsReset: Command = {
  path: ['offsets', 'reset'],
  summary: 'Move a consumer group in all queues of a topic, also while it runs',
  options: {
    group: { value: 'GROUP', help: 'the consumer group' },
    topic: { value: 'TOPIC', help: 'the topic' },
    to: {
      value: 'WHERE',
      help: '`first`, `last`, or an instant such as 2026-01-31T12:00:00Z (first message stored then)',
    },
    'dry-run': { help: 'only show what would be delivered again or skipped' },
  },
  destructive: true,
  example: 'offsets reset --group billing --topic orders --to 2026-01-31T12:00:00Z --dry-run',
  async run(call) {
    const group = call.required('group')
    const topic = call.required('topic')
    const to = whereOf(call.required('to'))
    const where = to instanceof Date ? to.toISOString() : to
    const isDryRun = call.flag('dry-run')
    if (!isDryRun) await call.confirm(`Move group ${group} to ${where} in every queue of topic ${topic}?`)
    const preview = await withAdmin(call, (admin) =>
      isDryRun ? admin.previewReset(group, topic, to) : admin.resetOffsets(group, topic, to),
    )
    const words = isDryRun ? 'would go on' : 'goes on'
    call.report({ ...preview, reset: !isDryRun, to: where }, () =>
      [`group ${group} ${words} from ${where} in topic ${topic}: ${effectOf(preview)}`, queueTable(preview)].join(
        '\n\n',
      ),
    )
  },
}

function effectOf({ replayed, skipped, oldestAt, newestAt }: ResetPreview): string {
  const effects = [replayed > 0n ? `${replayed} delivered again` : '', skipped > 0n ? `${skipped} skipped` : ''].filter(
    (effect) => effect !== '',
  )
  if (effects.length === 0) return 'nothing is delivered again, nothing skipped'
  const span =
    oldestAt === undefined || newestAt === undefined
      ? ''
      : `, stored ${oldestAt.toISOString()} to ${newestAt.toISOString()}`
  return `${effects.join(', ')}${span}`
}

function queueTable({ queues }: ResetPreview): string {
  const time = (mark: MessageMark | undefined): string | undefined => mark?.storedAt.toISOString()
  return textTable(
    ['BROKER', 'QUEUE', 'NOW', 'THEN', 'END', 'AGAIN', 'SKIPPED', 'FIRST', 'STORED', 'LAST', 'STORED'],
    queues.map((queue) => [
      ...[queue.brokerName, queue.queueId, queue.committedOffset, queue.targetOffset, queue.maxOffset],
      ...[queue.replayed, queue.skipped],
      ...[queue.first?.messageId, time(queue.first), queue.last?.messageId, time(queue.last)],
    ]),
  )
}

function whereOf(text: string): 'first' | 'last' | Date {
  if (text === 'first' || text === 'last') return text
  const instant = new Date(text)
  if (Number.isNaN(instant.getTime())) throw new UsageError(`--to takes first, last or an instant, not "${text}"`)
  return instant
}
