import type { SubscriptionConflict } from '@tandemmq/client'
import { withAdmin } from '../admin.ts'
import type { Command } from '../command.ts'
import { textTable } from '../table.ts'
import { progressTable } from './offsets-show.ts'

export const groupsShow: Command = {
  path: ['groups', 'show'],
  summary: 'Show the members, subscriptions and progress of a consumer group',
  positionals: ['GROUP'],
  example: 'groups show billing',
  async run(call) {
    const [group = ''] = call.positionals
    const shown = await withAdmin(call, async (admin) => ({
      group,
      settings: await admin.groupSettings(group),
      ...(await admin.consumerConnections(group)),
      progress: await admin.progress(group),
    }))
    call.report(shown, ({ settings, members, messageModel, subscriptions, conflicts, progress }) =>
      [
        members.length === 0 ? 'nobody is connected' : `${members.length} connected, ${messageModel.toLowerCase()}`,
        textTable(
          ['CLIENT', 'ADDRESS', 'LANGUAGE'],
          members.map(({ clientId, address, language }) => [clientId, address, language]),
          '',
        ),
        settings === undefined
          ? 'no broker has settings of it'
          : `settings: ${Object.entries(settings)
              .map(([name, value]) => `${name} ${value}`)
              .join(', ')}`,
        textTable(['TOPIC', 'FILTER'], Object.entries(subscriptions), ''),
        conflictTable(conflicts),
        progressTable(progress),
      ]
        .filter((part) => part !== '')
        .join('\n\n'),
    )
  },
}

function conflictTable(conflicts: readonly SubscriptionConflict[]): string {
  if (conflicts.length === 0) return ''
  const rows = conflicts.flatMap(({ topic, members }) =>
    members.map(({ clientId, expression }) => [topic, clientId, expression === '' ? '(not subscribed)' : expression]),
  )
  const warning = 'CONFLICT: members want different messages, so some reach nobody'
  return `${warning}\n${textTable(['TOPIC', 'CLIENT', 'WANTS'], rows)}`
}
