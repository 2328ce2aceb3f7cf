import { TandemError } from '@tandemmq/client'
import { withAdmin } from '../admin.ts'
import { UsageError } from '../command.ts'
import type { Call, Command } from '../command.ts'
import { durationOf, dueTimeOf } from '../instant.ts'

export const timersReschedule: Command = {
  path: ['timers', 'reschedule'],
  summary: 'Move every delayed message that waits under a key or message id to another time',
  positionals: ['TOPIC', 'KEY'],
  options: {
    at: { value: 'INSTANT', help: 'deliver then; at once when it has passed' },
    in: { value: 'DURATION', help: 'deliver so long from now: 30s, 5m, 2h, 1d' },
  },
  example: 'timers reschedule orders o-1 --in 2h',
  async run(call) {
    const [topic = '', key = ''] = call.positionals
    const time = timeOf(call)
    const { outcome, receipts, fired } = await withAdmin(call, (admin) => admin.rescheduleTimers({ topic, key }, time))
    if (outcome === 'unknown') throw new TandemError('QUERY_NOT_FOUND', `nothing waits in ${topic} under ${key}`)
    call.report({ outcome, rescheduled: receipts.length, fired, receipts }, ({ rescheduled }) => {
      if (rescheduled > 0) return `${rescheduled} rescheduled`
      return outcome === 'fired' ? 'already delivered' : 'taken back before'
    })
  },
}

function timeOf(call: Call): { delayMs: number } | { deliverAt: Date } {
  const at = call.text('at')
  const wait = call.text('in')
  if ((at === undefined) === (wait === undefined)) throw new UsageError('give one of --at and --in')
  if (at !== undefined) return { deliverAt: dueTimeOf('at', at) }
  const delayMs = durationOf(wait ?? '')
  if (delayMs === undefined) throw new UsageError(`--in takes a duration such as 30s, 5m, 2h or 1d, not "${wait}"`)
  return { delayMs }
}
