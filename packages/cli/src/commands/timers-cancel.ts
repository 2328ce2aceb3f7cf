import { TandemError } from '@tandemmq/client'
import { withAdmin } from '../admin.ts'
import type { Command } from '../command.ts'

export const timersCancel: Command = {
  path: ['timers', 'cancel'],
  summary: 'Take back every delayed message that waits under a key or message id',
  positionals: ['TOPIC', 'KEY'],
  destructive: true,
  example: 'timers cancel orders o-1',
  async run(call) {
    const [topic = '', key = ''] = call.positionals
    await call.confirm(`Take back every delayed message of ${topic} under ${key}?`)
    const result = await withAdmin(call, (admin) => admin.cancelTimers({ topic, key }))
    if (result.outcome === 'unknown') throw new TandemError('QUERY_NOT_FOUND', `nothing waits in ${topic} under ${key}`)
    call.report(result, ({ outcome, cancelled }) => {
      if (cancelled > 0) return `${cancelled} taken back: never delivered`
      return outcome === 'fired' ? 'already delivered' : 'taken back before'
    })
  },
}
