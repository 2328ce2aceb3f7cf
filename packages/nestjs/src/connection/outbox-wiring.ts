import type { InjectionToken } from '@nestjs/common'
import { TandemError } from '@tandemmq/client'
import type { Database, OutboxOptions } from '@tandemmq/outbox'
import type { LookUp, TandemOutboxOptions } from '../module-options.ts'

/** The database that the options name. @throws {TandemError} OPTION_INVALID */
export function databaseOf(options: TandemOutboxOptions, lookUp: LookUp): Database {
  const { database, knex, pg } = options
  const given = [database, knex, pg].filter((one) => one !== undefined)
  if (given.length !== 1) throw new TandemError('OPTION_INVALID', 'outbox needs one of database, knex and pg')
  if (database !== undefined) return database
  const token = (knex ?? pg) as InjectionToken<Database>
  try {
    return lookUp(token)
  } catch (cause) {
    const detail = `outbox: no provider ${String((token as { name?: string }).name ?? token.toString())} in the application`
    throw new TandemError('OPTION_INVALID', detail, { cause })
  }
}

/** What an `Outbox` understands of the options. */
export function settingsOfOutbox(options: TandemOutboxOptions): Omit<OutboxOptions<Database>, 'database' | 'group'> {
  const { database: _, knex: __, pg: ___, group: ____, currentTransaction: _____, ...settings } = options
  return settings
}

/**
 * What the hook `currentTransaction` says, without what is no open transaction: outside of one, `TransactionHost.tx` of
 * nestjs-cls is the database itself.
 */
export function hookedTransaction(options: TandemOutboxOptions, lookUp: LookUp): unknown {
  const trx = options.currentTransaction?.(lookUp)
  if (trx === undefined || trx === null || trx === databaseOf(options, lookUp)) return undefined
  const { isTransaction, isCompleted } = trx as { isTransaction?: boolean; isCompleted?: () => boolean }
  if (typeof trx === 'function' && (isTransaction !== true || isCompleted?.() === true)) return undefined
  return trx
}
