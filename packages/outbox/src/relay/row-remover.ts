import type { Clock, Logger } from '../foundation.ts'
import { IdBatches } from '../id-batches.ts'
import { messageOf } from '../outbox-error.ts'
import type { OutboxTable } from './outbox-table.ts'

/** Deletes rows whose messages the broker has, many at a time. What it loses is sent again under the same dedup key. */
export function rowRemover({ table, clock, logger }: { table: OutboxTable; clock: Clock; logger: Logger }): IdBatches {
  return new IdBatches(clock, async (ids) => {
    await table.delete(ids).catch((error: unknown) => {
      logger.warn(`${ids.length} sent rows stay in the outbox and are sent again: ${messageOf(error)}`)
    })
  })
}
