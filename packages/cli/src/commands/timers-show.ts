import { TandemError } from '@tandemmq/client'
import type { WaitingTimer } from '@tandemmq/client'
import { withAdmin } from '../admin.ts'
import type { Command } from '../command.ts'
import { messageText, shownMessage } from '../message-text.ts'
import type { ShownMessage } from '../message-text.ts'

export const timersShow: Command = {
  path: ['timers', 'show'],
  summary: 'Show delayed messages that wait under a key or message id, with properties and body',
  positionals: ['TOPIC', 'KEY'],
  options: { max: { value: 'N', help: 'at most so many, default 10' } },
  example: 'timers show orders o-1',
  async run(call) {
    const [topic = '', key = ''] = call.positionals
    const limit = call.integer('max') ?? 10
    const shown = await withAdmin(call, async (admin) => {
      const found: { timer: WaitingTimer; message: ShownMessage | undefined }[] = []
      for await (const timer of admin.timers({ topic, key, limit })) {
        const message = await admin.messageById(timer.offsetMessageId)
        found.push({ timer, message: message && shownMessage(message) })
      }
      return found
    })
    if (shown.length === 0) throw new TandemError('QUERY_NOT_FOUND', `nothing waits in ${topic} under ${key}`)
    call.report(shown, (all) =>
      all
        .map(({ timer, message }) => {
          const due = `due         ${timer.deliverAt.toISOString()} to ${timer.topic} queue ${timer.queueId}`
          // Delivered between the two questions.
          return message === undefined ? due : `${due}\n${messageText(message)}`
        })
        .join('\n\n'),
    )
  },
}
