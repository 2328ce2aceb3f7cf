import { DeadMessages } from '@tandemmq/outbox'
import type { DeadMessage } from '@tandemmq/outbox'
import { UsageError } from '../command.ts'
import type { Call, Command } from '../command.ts'
import { databaseOptions, schemaOf, withDatabase } from '../database.ts'
import { textTable } from '../table.ts'

function withDeadMessages<T>(call: Call, work: (dead: DeadMessages) => Promise<T>): Promise<T> {
  const schema = schemaOf(call)
  return withDatabase(call, (database) =>
    work(new DeadMessages({ database, ...(schema === undefined ? {} : { schema }) })),
  )
}

export const outboxDeadList: Command = {
  path: ['outbox', 'dead', 'list'],
  summary: 'List messages of the outbox that the broker refused, with what it said',
  options: {
    ...databaseOptions,
    limit: { value: 'N', help: 'at most so many, default 100' },
    after: { value: 'ID', help: 'those behind this one' },
  },
  example: 'outbox dead list --database postgres://app:secret@127.0.0.1/shop',
  async run(call) {
    const after = call.integer('after')
    const options = { limit: call.integer('limit'), after: after === undefined ? undefined : String(after) }
    call.report(await withDeadMessages(call, (dead) => dead.list(options)), plain)
  },
}

function plain(messages: DeadMessage[]): string {
  const rows = messages.map(({ id, key, topic, groupKey, bodyBytes, attempts, at, reason }) => [
    ...[id, key, topic, groupKey, bodyBytes, attempts, at.toISOString(), reason],
  ])
  return textTable(
    ['ID', 'KEY', 'TOPIC', 'GROUP KEY', 'BYTES', 'ATTEMPTS', 'SINCE', 'REASON'],
    rows,
    'no dead messages',
  )
}

export const outboxDeadRequeue: Command = {
  path: ['outbox', 'dead', 'requeue'],
  summary: 'Put dead messages back to where they were in the outbox',
  positionals: ['[ID]'],
  options: { ...databaseOptions, all: { help: 'every one' } },
  destructive: true,
  example: 'outbox dead requeue 4711 --database postgres://app:secret@127.0.0.1/shop',
  async run(call) {
    const [id] = call.positionals
    if ((id === undefined) !== call.flag('all')) throw new UsageError('requeue takes an ID or --all')
    if (id !== undefined && !/^\d{1,18}$/.test(id))
      throw new UsageError(`ID is the number in the column ID, not "${id}"`)
    await call.confirm(`Send ${id === undefined ? 'all dead messages' : `dead message ${id}`} again?`)
    const requeued = await withDeadMessages(call, (dead) => dead.requeue(id === undefined ? 'all' : [id]))
    call.report(
      { requeued },
      () => `${requeued} ${requeued === 1 ? 'message waits' : 'messages wait'} in the outbox again`,
    )
  },
}
