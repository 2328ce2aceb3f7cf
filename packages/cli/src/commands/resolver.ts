import { sleep, systemClock } from '@tandemmq/client'
import { ResolverService } from '@tandemmq/outbox'
import type { ResolverStats } from '@tandemmq/outbox'
import type { Call, Command } from '../command.ts'
import { UsageError } from '../command.ts'
import { databaseOptions, schemaOf, withDatabase } from '../database.ts'
import { aborted } from '../io.ts'

const REPORT_SECONDS = 60

export const resolver: Command = {
  path: ['resolver'],
  summary: 'Answer check-backs for the transactions of a database until SIGTERM or SIGINT; sends nothing',
  options: {
    ...databaseOptions,
    group: { value: 'NAME', help: 'answer for this producer group as well, on brokers that know no domains' },
    report: {
      value: 'SECONDS',
      help: `pause between two lines about its work, default ${REPORT_SECONDS}; 0: only at the end`,
    },
  },
  example: 'resolver --database postgres://app:secret@127.0.0.1/shop --name-server 127.0.0.1:9876',
  async run(call) {
    const seconds = call.integer('report') ?? REPORT_SECONDS
    if (seconds > 86_400) throw new UsageError('--report is at most 86400')
    const { stop } = call.io
    await withDatabase(call, async (database) => {
      const [schema, group] = [schemaOf(call), call.text('group')]
      await using service = new ResolverService({
        ...{ database, nameServers: call.nameServer, logger: loggerOf(call) },
        ...(schema === undefined ? {} : { schema }),
        ...(group === undefined ? {} : { group }),
      })
      await service.start()
      call.reportLine(
        { ready: true, ...service.stats() },
        ({ domain }) => `TandemMQ resolver ready for domain ${domain}`,
      )
      while (!stop.aborted) {
        if (seconds === 0) await aborted(stop)
        else await sleep(systemClock, seconds * 1_000, stop).catch(() => {})
        call.reportLine(service.stats(), plain)
      }
    })
  },
}

function plain({ answers, healthy }: ResolverStats): string {
  const { commit, rollback, unknown, notMine } = answers
  const health = healthy ? 'healthy' : 'the database gives no answers'
  return `${health}; answered ${commit} commit, ${rollback} rollback, ${unknown} unknown, ${notMine} not mine`
}

const nothing = (): void => undefined

function loggerOf({ io }: Call) {
  const line = (text: string): void => io.err(`tandem: ${text}`)
  return { debug: nothing, info: nothing, warn: line, error: line }
}
