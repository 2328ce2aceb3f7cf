import { withAdmin } from '../admin.ts'
import type { Command } from '../command.ts'

export const groupsDelete: Command = {
  path: ['groups', 'delete'],
  summary: 'Delete a consumer group from every broker; its dead letters stay',
  positionals: ['GROUP'],
  options: { positions: { help: 'also forget how far it was' } },
  destructive: true,
  example: 'groups delete billing-old --positions',
  async run(call) {
    const [group = ''] = call.positionals
    const positions = call.flag('positions')
    await call.confirm(`Delete group ${group}${positions ? ' and its positions' : ''} from every broker?`)
    await withAdmin(call, (admin) => admin.deleteGroup(group, { positions }))
    call.report({ group, deleted: true, positions }, () => `group ${group} is gone`)
  },
}
