import { withAdmin } from '../admin.ts'
import type { Command } from '../command.ts'
import { textTable } from '../table.ts'

export const transactionsList: Command = {
  path: ['transactions', 'list'],
  summary: 'List half messages nobody has decided yet, oldest first',
  options: { max: { value: 'N', help: 'at most so many, default 100' } },
  example: 'transactions list --json',
  async run(call) {
    const open = await withAdmin(call, (admin) => admin.transactions(call.integer('max') ?? 100))
    call.report(open, (list) =>
      textTable(
        ['BROKER', 'AT', 'TRANSACTION', 'GROUP', 'TOPIC', 'KEYS', 'AGE', 'CHECKS', 'STATE'],
        list.map(({ brokerName, physicalOffset, transactionId, group, topic, keys, ageMs, attempts, state }) => [
          brokerName,
          physicalOffset,
          transactionId,
          group,
          topic,
          keys,
          `${Math.round(ageMs / 1000)} s`,
          attempts,
          state,
        ]),
        'no open transactions',
      ),
    )
  },
}
