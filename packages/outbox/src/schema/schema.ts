import { OutboxError } from '../outbox-error.ts'

/** Names of the tables, quoted for SQL text. */
export class Schema {
  readonly name: string
  readonly tx: string
  readonly domain: string
  readonly outbox: string
  readonly outboxDead: string
  readonly inbox: string
  readonly inboxDefault: string
  readonly inboxForeign: string
  readonly inboxOffset: string
  readonly inboxGroup: string
  readonly migration: string
  /** A function. */
  readonly mark: string

  /** @throws {OutboxError} OPTION_INVALID */
  constructor(name: string) {
    if (!/^[a-z_][a-z0-9_]{0,62}$/.test(name)) {
      throw new OutboxError('OPTION_INVALID', `schema "${name}": lower case letters, digits and _ only, at most 63`)
    }
    this.name = name
    const table = (of: string): string => `"${name}"."${of}"`
    this.tx = table('tx')
    this.domain = table('domain')
    this.outbox = table('outbox')
    this.outboxDead = table('outbox_dead')
    this.inbox = table('inbox')
    this.inboxDefault = table('inbox_default')
    this.inboxForeign = table('inbox_foreign')
    this.inboxOffset = table('inbox_offset')
    this.inboxGroup = table('inbox_group')
    this.migration = table('migration')
    this.mark = table('mark')
  }

  /** An index or a partition, by its name inside the schema. */
  index(name: string): string {
    return `"${this.name}"."${name}"`
  }
}

/** Text as an SQL literal, whatever standard_conforming_strings says. */
export function literal(text: string): string {
  return ` E'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`
}

const IS_LOW = "current_setting('synchronous_commit') in ('off','local','remote_write')"

/** Raises synchronous_commit where it is lower than `on`; remote_apply stays. */
export const SYNCHRONOUS_COMMIT = `select set_config('synchronous_commit','on',true) where ${IS_LOW}`

/** Travels with COMMIT: whose transaction this is, and that it is durable before COMMIT is answered. */
export const COMMIT_GUARD = `select pg_current_xact_id_if_assigned()::text as xid,
case when ${IS_LOW} then set_config('synchronous_commit','on',true) end`

/**
 * The same where the connection is watched for foreign ends of the transaction (StatementTap) and nobody has chosen
 * `remote_apply`: a fifth of the cost for the server, and no row to read.
 */
export const PLAIN_COMMIT_GUARD = 'set local synchronous_commit=on'
