import { TandemError } from '@tandemmq/client'
import { withAdmin } from '../admin.ts'
import type { Command } from '../command.ts'
import { shownDeadLetter } from '../dead-letter-query.ts'
import { messageText } from '../message-text.ts'

export const deadLettersShow: Command = {
  path: ['dead-letters', 'show'],
  summary: 'Show one dead letter of a group with its reason, properties and body',
  positionals: ['GROUP', 'ID'],
  example: 'dead-letters show billing 7F000001A1B218B4AAC2118E5A3C0000',
  async run(call) {
    const [group = '', id = ''] = call.positionals
    const found = await withAdmin(call, async (admin) => {
      // The last one: a message that was redriven may have died again.
      let last: ReturnType<typeof shownDeadLetter> | undefined
      for await (const one of admin.deadLetters(group, { messageIds: [id], redriven: true }))
        last = shownDeadLetter(one)
      return last
    })
    if (found === undefined) throw new TandemError('QUERY_NOT_FOUND', `group ${group} has no dead letter ${id}`)
    call.report(found, ({ reason, attempts, diedAt, isRedriven, origin, message }) => {
      const place = origin.queueId === undefined ? '' : `, queue ${origin.queueId}, offset ${origin.queueOffset}`
      return [
        `reason      ${reason || '-'}`,
        `attempts    ${attempts}`,
        `died        ${diedAt.toISOString()}${isRedriven ? ', redriven' : ''}`,
        `came from   ${origin.topic}${place}`,
        messageText(message),
      ].join('\n')
    })
  },
}
