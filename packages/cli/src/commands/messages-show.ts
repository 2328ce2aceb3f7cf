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
    const topic = call.text('topic')
    const message = await withAdmin(call, (admin) => admin.messageById(id, topic)).catch((error: unknown) => {
      // Not found under the topic it was then read as an address, which a producer's id only looks like.
      if (topic !== undefined && error instanceof TandemError && error.code === 'CONNECT_FAILED') return undefined
      throw error
    })
    if (message === undefined) {
      const hint = topic === undefined ? '; an id given by a producer needs --topic' : ''
      throw new TandemError('QUERY_NOT_FOUND', `no message ${id}${hint}`)
    }
    call.report(shownMessage(message), messageText)
  },
}
