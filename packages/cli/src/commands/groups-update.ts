import { withAdmin } from '../admin.ts'
import { UsageError } from '../command.ts'
import type { Call, Command } from '../command.ts'
import { retryOf, retryText } from '../retry-text.ts'

export const groupsUpdate: Command = {
  path: ['groups', 'update'],
  summary: 'Change how a consumer group gets failed messages again',
  positionals: ['GROUP'],
  options: {
    retry: {
      value: 'PAUSES',
      help: 'pauses between deliveries: `levels` (10s to 2h), a list such as 1s,10s,5m, or FIRST*FACTOR..MAX such as 5s*2..2h',
    },
    attempts: { value: 'N', help: 'deliveries before a message is a dead letter, or `unlimited`' },
  },
  example: 'groups update billing --retry 1s,10s,5m --attempts 10',
  async run(call) {
    const [group = ''] = call.positionals
    const retry = call.text('retry')
    const attemptsMax = attemptsOf(call)
    if (retry === undefined && attemptsMax === undefined) throw new UsageError('nothing to change: --retry, --attempts')
    const settings = { attemptsMax, retry: retry === undefined ? undefined : retryOf(retry) }
    const now = await withAdmin(call, async (admin) => {
      await admin.updateGroup(group, settings)
      return admin.groupSettings(group)
    })
    // JSON knows no Infinity.
    const attempts = now?.attemptsMax === Number.POSITIVE_INFINITY ? 'unlimited' : now?.attemptsMax
    call.report({ group, ...now, attemptsMax: attempts }, () =>
      now === undefined
        ? `group ${group} changed`
        : `group ${group}: ${attempts} deliveries, pauses ${retryText(now.retry)}`,
    )
  },
}

function attemptsOf(call: Call): number | undefined {
  return call.text('attempts') === 'unlimited' ? Number.POSITIVE_INFINITY : call.integer('attempts')
}
