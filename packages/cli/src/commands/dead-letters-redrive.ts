import type { RedriveProgress } from '@tandemmq/client'
import { withAdmin } from '../admin.ts'
import { UsageError } from '../command.ts'
import type { Command } from '../command.ts'
import { queryOf, queryOptions } from '../dead-letter-query.ts'
import { type Progress, startProgress } from '../progress.ts'

export const deadLettersRedrive: Command = {
  path: ['dead-letters', 'redrive'],
  summary: 'Send dead letters back to their group, each once; an interrupted call is resumed by the same call',
  positionals: ['GROUP'],
  options: {
    ...queryOptions,
    'dry-run': { help: 'only count them' },
    unrecorded: { help: 'also by a broker that keeps no record of it, as Apache RocketMQ: asked twice, they go twice' },
    rate: { value: 'N', help: 'at most so many a second' },
    max: { value: 'N', help: 'at most so many' },
  },
  destructive: true,
  example: 'dead-letters redrive billing --reason timeout --rate 100 --dry-run',
  async run(call) {
    const [group = ''] = call.positionals
    const dryRun = call.flag('dry-run')
    const ratePerSecond = call.integer('rate')
    if (ratePerSecond === 0) throw new UsageError('--rate must be at least 1')
    if (!dryRun) await call.confirm(`Send the chosen dead letters back to group ${group}?`)
    let bar: Progress | undefined
    let shown = 0
    const show = ({ looked, total }: RedriveProgress): void => {
      bar ??= startProgress(call.io, dryRun ? 'counting' : 'redriving', total)
      bar.advance(looked - shown)
      shown = looked
    }
    const options = {
      ...queryOf(call),
      limit: call.integer('max'),
      dryRun,
      ratePerSecond,
      unrecorded: call.flag('unrecorded'),
      signal: call.io.stop,
    }
    const result = await withAdmin(call, (admin) => admin.redrive(group, { ...options, onProgress: show })).finally(
      () => bar?.end(),
    )
    call.report({ group, dryRun, ...result }, ({ matched, redriven, already, gone }) => {
      if (dryRun) return `${matched} dead letters would go back to group ${group}`
      const rest = [already > 0 ? `${already} were already` : '', gone > 0 ? `${gone} are gone` : ''].filter(Boolean)
      return [`${redriven} dead letters went back to group ${group}`, ...rest].join(', ')
    })
  },
}
