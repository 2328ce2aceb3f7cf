import { TandemError } from '@tandemmq/client'
import { withAdmin } from '../admin.ts'
import { UsageError } from '../command.ts'
import type { Command } from '../command.ts'

export const transactionsResolve: Command = {
  path: ['transactions', 'resolve'],
  summary: 'Decide a half message by hand, when its producer never will',
  positionals: ['AT', 'commit|rollback'],
  options: {
    broker: { value: 'NAME', help: 'whose half message it is; needed when several brokers have one at AT' },
    by: { value: 'NAME', help: 'who decides, for the record; default your user name' },
    reason: { value: 'TEXT', help: 'why, for the record' },
  },
  destructive: true,
  example: 'transactions resolve 81920 rollback --reason duplicate',
  async run(call) {
    const [at = '', decision = ''] = call.positionals
    if (!/^\d{1,15}$/.test(at)) throw new UsageError(`AT is the number in the column AT of the list, not "${at}"`)
    if (decision !== 'commit' && decision !== 'rollback') {
      throw new UsageError(`the decision is commit or rollback, not "${decision}"`)
    }
    const words = decision === 'commit' ? 'Commit' : 'Roll back'
    await call.confirm(`${words} the half message at ${at}, whatever its producer thinks?`)
    const outcome = await withAdmin(call, (admin) =>
      admin.resolveTransaction(BigInt(at), decision, call.text('broker'), {
        by: call.text('by') ?? process.env['USER'] ?? process.env['USERNAME'],
        reason: call.text('reason'),
      }),
    )
    if (outcome === 'unknown') throw new TandemError('QUERY_NOT_FOUND', `no half message at ${at}`)
    call.report(
      { at, outcome },
      () => `the half message at ${at} is ${outcome === 'committed' ? 'committed' : 'rolled back'}`,
    )
  },
}
