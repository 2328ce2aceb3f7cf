import { Outbox } from '@tandemmq/outbox'
import type { Command } from '../command.ts'
import { databaseOptions, withDatabase } from '../database.ts'

export const outboxMigrate: Command = {
  path: ['outbox', 'migrate'],
  summary: 'Create or update the tables of outbox and inbox; safe to repeat',
  options: {
    ...databaseOptions,
    'adopt-cluster': { help: 'the tables moved to this database or Postgres cluster and the old one is gone for good' },
    'new-domain': { help: 'this is a copy of a database that goes on living: give it a domain of its own' },
  },
  example: 'outbox migrate --database postgres://app:secret@127.0.0.1/shop',
  async run(call) {
    const schema = call.text('schema') ?? 'tandem'
    await withDatabase(call, async (database) => {
      const outbox = new Outbox({ database, schema, nameServers: call.nameServer, group: 'tandem-migrate' })
      await outbox.migrate({ adoptCluster: call.flag('adopt-cluster'), newDomain: call.flag('new-domain') })
    })
    call.report({ schema, migrated: true }, () => `schema ${schema} is up to date`)
  },
}
