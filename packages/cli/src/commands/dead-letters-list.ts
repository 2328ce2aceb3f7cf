import { withAdmin } from '../admin.ts'
import type { Command } from '../command.ts'
import { queryOf, queryOptions, shownDeadLetter } from '../dead-letter-query.ts'
import { textTable } from '../table.ts'

export const deadLettersList: Command = {
  path: ['dead-letters', 'list'],
  summary: 'List messages a consumer group gave up, oldest first',
  positionals: ['GROUP'],
  options: {
    ...queryOptions,
    redriven: { help: 'also those that were sent back to the group' },
    max: { value: 'N', help: 'at most so many, default 100' },
  },
  example: 'dead-letters list billing --reason timeout',
  async run(call) {
    const [group = ''] = call.positionals
    const query = { ...queryOf(call), redriven: call.flag('redriven'), limit: call.integer('max') ?? 100 }
    const found = await withAdmin(call, async (admin) => {
      const list: ReturnType<typeof shownDeadLetter>[] = []
      for await (const one of admin.deadLetters(group, query)) list.push(shownDeadLetter(one))
      return list
    })
    call.report(found, (list) =>
      textTable(
        ['BROKER', 'OFFSET', 'MESSAGE', 'TOPIC', 'ATTEMPTS', 'DIED', 'REDRIVEN', 'REASON'],
        list.map(({ message, offset, origin, attempts, diedAt, isRedriven, reason }) => [
          message.brokerName,
          offset,
          message.messageId,
          origin.topic,
          attempts,
          diedAt.toISOString(),
          isRedriven ? 'yes' : '',
          reason,
        ]),
        `group ${group} has no such dead letters`,
      ),
    )
  },
}
