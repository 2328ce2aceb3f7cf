import type { Pool } from 'pg'
import { failpoints } from '../failpoint.ts'
import type { Clock, Logger } from '../foundation.ts'
import { IdBatches } from '../id-batches.ts'
import { messageOf } from '../outbox-error.ts'
import type { Schema } from '../schema/schema.ts'

/** Deletes markers whose halves the broker has acknowledged as settled. What it loses, the sweeper finds. */
export function markerCleaner(options: { pool: Pool; schema: Schema; clock: Clock; logger: Logger }): IdBatches {
  const { pool, schema, clock, logger } = options
  return new IdBatches(clock, async (keys) => {
    try {
      failpoints?.hit('P14')
      // A deletion lost in a crash costs one sweep, so it need not wait for the disk or a standby.
      const deleted = pool.query(
        `begin; set local synchronous_commit=off; delete from ${schema.tx} where tx_id = any('{${keys.join(',')}}'::uuid[]) and state <> 'R'; commit`,
      )
      failpoints?.hit('P15')
      await deleted
    } catch (error) {
      logger.warn(`${keys.length} markers stay for the sweeper: ${messageOf(error)}`)
    }
  })
}
