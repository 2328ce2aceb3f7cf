import { OutboxError } from './outbox-error.ts'

/** Names of the tables, quoted for SQL text. */
export class Schema {
  readonly name: string
  readonly tx: string
  readonly domain: string
  readonly outbox: string
  readonly outboxDead: string
  readonly inbox: string
  readonly inboxForeign: string
  readonly inboxGroup: string
  readonly migration: string

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
    this.inboxForeign = table('inbox_foreign')
    this.inboxGroup = table('inbox_group')
    this.migration = table('migration')
  }
}

/** Raises synchronous_commit where it is lower than `on`; remote_apply stays. */
export const SYNCHRONOUS_COMMIT =
  "select set_config('synchronous_commit','on',true) where current_setting('synchronous_commit') in ('off','local','remote_write')"
