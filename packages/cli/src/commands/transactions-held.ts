import { withAdmin } from '../admin.ts'
import type { Command } from '../command.ts'
import { textTable } from '../table.ts'

export const transactionsHeld: Command = {
  path: ['transactions', 'held'],
  summary: 'List messages that wait for an undecided transaction of their orderBy, by key',
  options: { max: { value: 'N', help: 'at most so many keys, default 100' } },
  example: 'transactions held',
  async run(call) {
    const groups = await withAdmin(call, (admin) => admin.heldGroups(call.integer('max') ?? 100))
    call.report(groups, (list) =>
      textTable(
        ['BROKER', 'TOPIC', 'ORDER BY', 'HELD', 'BYTES', 'FOR', 'WAIT FOR', 'GROUP', 'CHECKS'],
        list.map(({ brokerName, topic, orderBy, held, heldBytes, heldForMs, waitsFor }) => [
          ...[brokerName, topic, orderBy, held, heldBytes, `${Math.round(heldForMs / 1000)} s`],
          ...[waitsFor?.physicalOffset ?? 'being released', waitsFor?.group ?? '', waitsFor?.attempts ?? ''],
        ]),
        'no messages wait for a transaction',
      ),
    )
  },
}
