import { chmodSync, chownSync, statSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { SeededRandom } from '../../kit/seeded-random.ts'
import { temporaryDirectory } from '../../kit/temporary-directory.ts'
import { elapse, until } from '../../kit/waiting.ts'
import { FaultLog } from './chaos-faults.ts'
import { judge, type OutboxChaosResult } from './chaos-run.ts'
import { ChaosWorld } from './chaos-world.ts'
import { type Postgres, STANDBY, Standby } from './standby.ts'

export interface FailoverOptions {
  seed: number
  failovers: number
  /** `async`: the primary waits for nobody, and the standby lags when it is promoted. */
  mode: 'sync' | 'async'
}

const SYNC_MS_MAX = 30_000
const LAG_MS = 400
const REPORT_MS_MAX = 20_000
const DRAIN_MS_MAX = 40_000

/** Under load the primary is killed, its standby promoted, and the apps led there; then the next standby. */
export async function failOver(options: FailoverOptions): Promise<OutboxChaosResult> {
  const random = new SeededRandom(options.seed)
  // The log must be there until the copy has fetched it.
  const postgres = { wal_keep_size: '256MB' }
  await using world = await ChaosWorld.start({ random, designs: ['outbox', 'outbox'], postgres })
  using copies = temporaryDirectory('standby')
  const log = new FaultLog()
  const owner = statSync(await settingOf(world.postgres, 'data_directory'))
  chownSync(copies.path, owner.uid, owner.gid)
  chmodSync(copies.path, 0o755)
  for (let turn = 0; turn < options.failovers; turn++) {
    const standby = await Standby.of(world.postgres, join(copies.path, String(turn)))
    await streaming(world.postgres)
    if (options.mode === 'sync') await waitForStandby(world.postgres)
    await elapse(random.between(800, 1_500))
    await log.during('failover', `from ${world.postgres.port} to ${standby.port}`, async () => {
      if (options.mode === 'async' || turn % 2 === 1) await lag(world.postgres)
      await world.replacePostgres(standby, () => standby.promote())
    })
  }
  // The last one waits for nobody any more.
  await withClient(world.postgres, async (client) => {
    await client.query('alter system reset synchronous_standby_names')
    await client.query('select pg_reload_conf()')
  })
  await elapse(1_500)
  // Each process looks at its own pace; what none of them says is for the caller to miss.
  if (options.mode === 'async') {
    await until(() => world.ledger.anomalies().length >= world.seats.length, REPORT_MS_MAX).catch(() => {})
  }
  const leftovers = await world.quiesce(DRAIN_MS_MAX)
  return await judge(world, log, leftovers, { seed: options.seed })
}

async function withClient<T>(postgres: Postgres, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: postgres.url('postgres') })
  client.on('error', () => {})
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

function settingOf(postgres: Postgres, name: string): Promise<string> {
  return withClient(postgres, async (client) => {
    const { rows } = await client.query<{ value: string }>('select current_setting($1) as value', [name])
    return rows[0]?.value ?? ''
  })
}

/** Until the standby has caught up with where it began. */
function streaming(primary: Postgres): Promise<void> {
  return withClient(primary, async (client) =>
    until(async () => {
      const { rows } = await client.query("select 1 from pg_stat_replication where state = 'streaming'")
      return rows.length > 0
    }, SYNC_MS_MAX),
  )
}

async function waitForStandby(primary: Postgres): Promise<void> {
  await withClient(primary, async (client) => {
    await client.query(`alter system set synchronous_standby_names = '${STANDBY}'`)
    await client.query('select pg_reload_conf()')
    await until(async () => {
      const { rows } = await client.query("select 1 from pg_stat_replication where sync_state = 'sync'")
      return rows.length > 0
    }, SYNC_MS_MAX)
  })
}

/** Nothing leaves the primary any more, though it goes on. */
async function lag(primary: Postgres): Promise<void> {
  await withClient(primary, async (client) => {
    const { rows } = await client.query<{ pid: number }>('select pid from pg_stat_replication')
    for (const { pid } of rows) process.kill(pid, 'SIGSTOP')
  })
  await elapse(LAG_MS)
}
