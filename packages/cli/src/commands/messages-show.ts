import { TandemError } from '@tandemmq/client'
import { withAdmin } from '../admin.ts'
import type { Command } from '../command.ts'
import { messageText, shownMessage } from '../message-text.ts'

export const messagesShow: Command = {
  path: ['messages', 'show'],
  summary: 'Show one message with its properties and body',
  positionals: ['ID'],
  options: { topic: { value: 'TOPIC', help: 'needed for the id a producer gave; not for an offset message id' } },
  example: 'messages show 7F000001A1B218B4AAC2118E5A3C0000 --topic orders',
  async run(call) {
    const [id = ''] = call.positionals
    const message = await withAdmin(call, (admin) => admin.messageById(id, call.text('topic')))
    if (message === undefined) {
      const hint = call.text('topic') === undefined ? '; an id given by a producer needs --topic' : ''
      throw new TandemError('QUERY_NOT_FOUND', `no message ${id}${hint}`)
    }
    call.report(shownMessage(message), messageText)
  },
}
