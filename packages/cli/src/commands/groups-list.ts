import { withAdmin } from '../admin.ts'
import type { Command } from '../command.ts'
import { textTable } from '../table.ts'

/** RocketMQ's own names for tools and probes (MixAll.java). */
const ofTheSystem = /^(CID_RMQ_SYS_.*|TOOLS_CONSUMER|FILTERSRV_CONSUMER|__MONITOR_CONSUMER|SELF_TEST_C_GROUP)$/

export const groupsList: Command = {
  path: ['groups', 'list'],
  summary: 'List consumer groups with their members and how far they are behind',
  options: { all: { help: 'also those of tools and of the system' } },
  example: 'groups list',
  async run(call) {
    const rows = await withAdmin(call, async (admin) => {
      const found = []
      const names = (await admin.groups()).filter((name) => call.flag('all') || !ofTheSystem.test(name))
      for (const group of names) {
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
