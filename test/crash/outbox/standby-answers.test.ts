import { chmodSync, chownSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { CheckedDomain, HalfSender } from '@tandemmq/outbox'
import { diagnose, Inbox, ResolverService } from '@tandemmq/outbox'
import { PostgresCluster } from '@tandemmq/testing/postgres-cluster'
import pg from 'pg'
import { expect, test } from 'vitest'
import { FakeBroker } from '../../../packages/outbox/src/fake-broker-test-kit.ts'
import { temporaryDirectory } from '../../kit/temporary-directory.ts'
import { Standby } from './standby.ts'

const COMMITTED = '01990000-0000-7000-8000-000000000001'
const ABSENT = '01990000-0000-7000-8000-000000000002'

function poolOf(url: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: 3 })
  pool.on('error', () => {})
  return pool
}

/** A resolver on that server, and the broker's question to it. */
async function resolverOn(database: pg.Pool): Promise<{ service: ResolverService; domain: CheckedDomain }> {
  let announced: CheckedDomain | undefined
  const start: HalfSender['start'] = async (_check, domain) => void (announced = domain)
  const service = new ResolverService({ database, producer: { ...new FakeBroker().sender(), start } })
  await service.start()
  if (announced === undefined) throw new Error('no domain was announced')
  return { service, domain: announced }
}

test('asked, a hot standby answers unknown and fences nothing; promoted it answers, and the doctor tells of two of a kind', async () => {
  using copies = temporaryDirectory('standby-answers')
  const primary = await PostgresCluster.start({ fsync: 'on' })
  const closers: (() => Promise<unknown>)[] = [() => primary.stop()]
  try {
    const pool = poolOf(primary.url('postgres'))
    closers.push(() => pool.end())
    await new Inbox({ database: pool, group: 'billing' }).migrate()
    await pool.query('insert into tandem.tx (tx_id) values ($1)', [COMMITTED])
    const { rows } = await pool.query(`select current_setting('data_directory') as data`)
    const owner = statSync(String(rows[0].data))
    chownSync(copies.path, owner.uid, owner.gid)
    chmodSync(copies.path, 0o755)
    const standby = await Standby.of(primary, join(copies.path, 'copy'))
    closers.push(() => standby.stop())
    const copy = poolOf(standby.url('postgres'))
    closers.push(() => copy.end())
    await expect.poll(async () => (await diagnose(pool)).map(({ check }) => check)).toEqual(['asyncStandby'])
    expect((await diagnose(copy)).map(({ check }) => check)).toContain('standby')
    const { service, domain } = await resolverOn(copy)
    closers.push(() => service.close())
    expect(await domain.check([COMMITTED, ABSENT])).toEqual(['unknown', 'unknown'])
    expect(service.stats().healthy).toBe(false)
    await standby.promote()
    await expect.poll(() => domain.check([COMMITTED, ABSENT]), { timeout: 15_000 }).toEqual(['commit', 'rollback'])
    expect((await diagnose(copy)).map(({ check }) => check)).toContain('promoted')
    expect((await pool.query('select from tandem.tx')).rowCount).toBe(1)
  } finally {
    for (const close of closers.toReversed()) await close()
  }
}, 90_000)
