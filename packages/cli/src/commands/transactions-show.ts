import { TandemError } from '@tandemmq/client'
import { withAdmin } from '../admin.ts'
import type { Command } from '../command.ts'
import { UsageError } from '../command.ts'
import { messageText, shownMessage } from '../message-text.ts'

const OPEN_MAX = 10_000

export const transactionsShow: Command = {
  path: ['transactions', 'show'],
  summary: 'Show an open half message with its body, before it is decided by hand',
  positionals: ['AT'],
  options: { broker: { value: 'NAME', help: 'whose half message it is, when several brokers have one at AT' } },
  example: 'transactions show 81920',
  async run(call) {
    const [at = ''] = call.positionals
    if (!/^\d{1,15}$/.test(at)) throw new UsageError(`AT is the number in the column AT of the list, not "${at}"`)
    const name = call.text('broker')
    const shown = await withAdmin(call, async (admin) => {
      const open = await admin.transactions(OPEN_MAX)
      const transaction = open.find(
        ({ physicalOffset, brokerName }) => physicalOffset === BigInt(at) && (name ?? brokerName) === brokerName,
      )
      if (transaction === undefined) throw new TandemError('QUERY_NOT_FOUND', `no open half message at ${at}`)
      const record = await admin.messageAt(transaction.brokerName, transaction.physicalOffset)
      return { ...transaction, message: record && shownMessage(record) }
    })
    call.report(shown, ({ transactionId, group, domain, topic, ageMs, asked, attempts, state, holdsBack, message }) =>
      [
        `transaction ${transactionId}`,
        `group       ${group}`,
        `for topic   ${topic}`,
        ...(domain === undefined ? [] : [`domain      ${domain}`]),
        `age         ${Math.round(ageMs / 1000)} s, asked ${asked} times, answered ${attempts}, ${state}`,
        ...(holdsBack === 0 ? [] : [`holds back  ${holdsBack} later messages of its orderBy`]),
        message === undefined ? 'its record cannot be read' : messageText(message),
      ].join('\n'),
    )
  },
}
