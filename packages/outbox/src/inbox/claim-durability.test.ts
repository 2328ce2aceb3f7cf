import pg from 'pg'
import { PostgresCluster } from '@tandemmq/testing/postgres-cluster'
import { afterEach, expect, test } from 'vitest'
import { untilCommitsWait } from '../database/database-test-kit.ts'
import { newTransactionId } from '../database/transaction-id.ts'
import { systemClock } from '../foundation.ts'
import { recordMessage } from '../message.ts'
import type { OutboxRow } from '../relay/outbox-rows.ts'
import { insertRows } from '../relay/outbox-rows.ts'
import { OutboxTable } from '../relay/outbox-table.ts'
import { migrateDatabase } from '../schema/migrate.ts'
import { Schema } from '../schema/schema.ts'

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

function poolOf(url: string, options = ''): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: 4, options })
  pool.on('error', () => {}) // A connection may still say goodbye when the server stops.
  closers.push(() => pool.end())
  return pool
}

const claims: Record<string, { orderBy?: string; claim(table: OutboxTable): Promise<OutboxRow[]> }> = {
  'without a key': { claim: (table) => table.claimFree(10) },
  'with a key': { orderBy: 'k', claim: (table) => table.claimRuns(10) },
}

test.each(Object.keys(claims))(
  'rows %s that no standby has yet are not claimed, though the relay runs with synchronous_commit=local',
  async (name) => {
    const { claim, ...fields } = claims[name] as (typeof claims)[string]
    const cluster = await PostgresCluster.start()
    closers.push(() => cluster.stop())
    const pool = poolOf(cluster.url('postgres'))
    const schema = new Schema('tandem')
    await migrateDatabase(pool, schema, {})
    const standbys = async (names: string): Promise<void> => {
      await pool.query(`alter system set synchronous_standby_names = '${names}'`)
      await pool.query('select pg_reload_conf()')
      const isSet = `select current_setting('synchronous_standby_names') as names`
      await expect.poll(async () => (await pool.query(isSet)).rows[0].names).toBe(names)
      if (names !== '') await untilCommitsWait(cluster.url('postgres'))
    }
    const cancelWait = async (): Promise<void> => {
      const waiting = `select pid from pg_stat_activity where wait_event = 'SyncRep'`
      await expect.poll(async () => (await pool.query(waiting)).rowCount, { timeout: 10_000 }).toBe(1)
      await pool.query(`select pg_cancel_backend(pid) from (${waiting}) w`)
    }

    await standbys('nobody')
    const client = await pool.connect()
    await client.query('begin')
    const message = recordMessage({ topic: 'orders', body: 'o-1', ...fields }, 0)
    await insertRows(client, schema, newTransactionId(systemClock), [message], 0)
    const committing = client.query('commit')
    await cancelWait()
    await committing
    client.release()

    const table = new OutboxTable(poolOf(cluster.url('postgres'), '-c synchronous_commit=local'), schema, 1)
    const claiming = expect(claim(table)).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
    await cancelWait()
    await claiming
    await standbys('')
    await expect.poll(async () => (await claim(table)).length, { timeout: 10_000 }).toBe(1)
  },
  60_000,
)
