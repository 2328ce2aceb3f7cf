import type { Admin } from '@tandemmq/client'
import { withAdmin } from '../admin.ts'
import type { Call, Command, OptionSpec } from '../command.ts'
import { TandemError } from '@tandemmq/client'
import { UsageError } from '../command.ts'
import { choice } from './topic-options.ts'

const yesNo = { yes: true, no: false }

const options: Readonly<Record<string, OptionSpec>> = {
  attempts: { value: 'N', help: 'deliveries of one message in all, default 17' },
  ordered: { value: 'yes|no', help: 'leases keep the order of each queue, default no' },
  enabled: { value: 'yes|no', help: 'no: the group gets nothing, default yes' },
  broadcast: { value: 'yes|no', help: 'members may broadcast, default yes' },
}

function settingsOf(call: Call) {
  return {
    attemptsMax: call.integer('attempts'),
    ordered: choice(call, 'ordered', yesNo),
    enabled: choice(call, 'enabled', yesNo),
    broadcast: choice(call, 'broadcast', yesNo),
  }
}

async function write(admin: Admin, group: string, settings: ReturnType<typeof settingsOf>) {
  await admin.createGroup(group, settings)
  return { group, settings: await admin.groupSettings(group) }
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
    call.report(await withAdmin(call, (admin) => write(admin, group, settings)), () => `group ${group} is there`)
  },
}

export const groupsUpdate: Command = {
  path: ['groups', 'update'],
  summary: 'Change settings of a consumer group on every broker; what is not named stays',
  positionals: ['GROUP'],
  options,
  example: 'groups update billing --enabled no',
  async run(call) {
    const [group = ''] = call.positionals
    const settings = settingsOf(call)
    if (Object.values(settings).every((value) => value === undefined)) {
      throw new UsageError('nothing to change was given')
    }
    const written = await withAdmin(call, async (admin) => {
      if ((await admin.groupSettings(group)) === undefined) {
        throw new TandemError('GROUP_NOT_EXIST', `no broker knows a group ${group}`)
      }
      return write(admin, group, settings)
    })
    call.report(written, () => `group ${group} is changed`)
  },
}
