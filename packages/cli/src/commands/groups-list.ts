import { withAdmin } from '../admin.ts'
import type { Command } from '../command.ts'
import { textTable } from '../table.ts'

export const groupsList: Command = {
  path: ['groups', 'list'],
  summary: 'List consumer groups with their members and how far they are behind',
  example: 'groups list',
  async run(call) {
    const rows = await withAdmin(call, async (admin) => {
      const found = []
      for (const group of await admin.groups()) {
        const { members } = await admin.consumerConnections(group)
        const queues = await admin.progress(group)
        const behind = queues.reduce((sum, { maxOffset, committedOffset }) => sum + maxOffset - committedOffset, 0n)
        found.push({ group, members: members.length, behind })
      }
      return found
    })
    call.report(rows, (list) =>
      textTable(
        ['GROUP', 'MEMBERS', 'BEHIND'],
        list.map(({ group, members, behind }) => [group, members, behind]),
        'no groups',
      ),
    )
  },
}
