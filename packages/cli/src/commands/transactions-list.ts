import { withAdmin } from '../admin.ts'
import type { Call, Command } from '../command.ts'
import { textTable } from '../table.ts'

export const transactionsList: Command = {
  path: ['transactions', 'list'],
  summary: 'List half messages nobody has decided yet, oldest first, or those decided by hand',
  options: {
    max: { value: 'N', help: 'at most so many, default 100' },
    resolved: { help: 'those an operator decided by hand, newest first: who, when, what, why' },
  },
  example: 'transactions list --json',
  async run(call) {
    if (call.flag('resolved')) return listResolved(call)
    const open = await withAdmin(call, (admin) => admin.transactions(call.integer('max') ?? 100))
    call.report(open, (list) =>
      textTable(
        ['BROKER', 'AT', 'TRANSACTION', 'GROUP', 'DOMAIN', 'TOPIC', 'KEYS', 'AGE', 'CHECKS', 'STATE'],
        list.map(
          ({ brokerName, physicalOffset, transactionId, group, domain, topic, keys, ageMs, attempts, state }) => [
            brokerName,
            physicalOffset,
            transactionId,
            group,
            domain ?? '',
            topic,
            keys,
            `${Math.round(ageMs / 1000)} s`,
            attempts,
            state,
          ],
        ),
        'no open transactions',
      ),
    )
  },
}

async function listResolved(call: Call): Promise<void> {
  const resolved = await withAdmin(call, (admin) => admin.resolvedTransactions(call.integer('max') ?? 100))
  call.report(resolved, (list) =>
    textTable(
      ['WHEN', 'BY', 'FROM', 'DECISION', 'NOW', 'BROKER', 'AT', 'TRANSACTION', 'GROUP', 'TOPIC', 'REASON'],
      list.map(({ at, by, client, decision, outcome, brokerName, physicalOffset, ...rest }) => [
        ...[at.toISOString(), by, client, decision, outcome, brokerName, physicalOffset],
        ...[rest.transactionId, rest.group, rest.topic, rest.reason],
      ]),
      'nothing was decided by hand',
    ),
  )
}
