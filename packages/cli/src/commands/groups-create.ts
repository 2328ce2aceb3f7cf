import type { Admin, AllGroupSettings } from '@tandemmq/client'
import { withAdmin } from '../admin.ts'
import type { Call, Command, OptionSpec } from '../command.ts'
import { UsageError } from '../command.ts'
import { retryOf, retryText } from '../retry-text.ts'
import { choice } from './topic-options.ts'

const yesNo = { yes: true, no: false }

const options: Readonly<Record<string, OptionSpec>> = {
  attempts: { value: 'N', help: 'deliveries before a message is a dead letter, or `unlimited`; default 17' },
  retry: {
    value: 'PAUSES',
    help: 'pauses between deliveries: `levels` (10s to 2h), a list such as 1s,10s,5m, or FIRST*FACTOR..MAX such as 5s*2..2h',
  },
  ordered: { value: 'yes|no', help: 'leases keep the order of each queue, default no' },
  enabled: { value: 'yes|no', help: 'no: the group gets nothing, default yes' },
  broadcast: { value: 'yes|no', help: 'members may broadcast, default yes' },
}

function settingsOf(call: Call) {
  const retry = call.text('retry')
  return {
    attemptsMax: call.text('attempts') === 'unlimited' ? Number.POSITIVE_INFINITY : call.integer('attempts'),
    retry: retry === undefined ? undefined : retryOf(retry),
    ordered: choice(call, 'ordered', yesNo),
    enabled: choice(call, 'enabled', yesNo),
    broadcast: choice(call, 'broadcast', yesNo),
  }
}

/** JSON knows no Infinity. */
const attemptsText = ({ attemptsMax }: AllGroupSettings): number | 'unlimited' =>
  attemptsMax === Number.POSITIVE_INFINITY ? 'unlimited' : attemptsMax

async function settingsNow(admin: Admin, group: string) {
  const now = await admin.groupSettings(group)
  return { group, settings: now && { ...now, attemptsMax: attemptsText(now) } }
}

export const groupsCreate: Command = {
  path: ['groups', 'create'],
  summary: 'Create a consumer group on every broker; they also come into being when a consumer joins',
  positionals: ['GROUP'],
  options,
  example: 'groups create billing --attempts 5',
  async run(call) {
    const [group = ''] = call.positionals
    const settings = settingsOf(call)
    const written = await withAdmin(call, async (admin) => {
      await admin.createGroup(group, settings)
      return settingsNow(admin, group)
    })
    call.report(written, () => `group ${group} is there`)
  },
}

export const groupsUpdate: Command = {
  path: ['groups', 'update'],
  summary: 'Change settings of a consumer group on every broker; what is not named stays',
  positionals: ['GROUP'],
  options,
  example: 'groups update billing --retry 1s,10s,5m --attempts 10',
  async run(call) {
    const [group = ''] = call.positionals
    const settings = settingsOf(call)
    if (Object.values(settings).every((value) => value === undefined)) {
      throw new UsageError('nothing to change was given')
    }
    const written = await withAdmin(call, async (admin) => {
      await admin.updateGroup(group, settings)
      return settingsNow(admin, group)
    })
    call.report(written, ({ settings: now }) =>
      now === undefined
        ? `group ${group} is changed`
        : `group ${group} is changed: ${now.attemptsMax} deliveries, pauses ${retryText(now.retry)}`,
    )
  },
}
