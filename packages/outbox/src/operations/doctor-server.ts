import type { PoolClient } from 'pg'
import { readDomain, whyForeign, whyPromoted } from '../schema/domain.ts'
import type { Schema } from '../schema/schema.ts'
import type { Finding } from './finding.ts'

const VERSION_MIN = 140_000

interface Settings {
  version: number
  fsync: string
  full_page_writes: string
  synchronous_commit: string
  autovacuum: string
  standbys: string
  idle: string
  recovering: boolean
  attached: number
  synchronous: number
}

const SETTINGS = `select current_setting('server_version_num')::int as version, current_setting('fsync') as fsync,
  current_setting('full_page_writes') as full_page_writes, current_setting('synchronous_commit') as synchronous_commit,
  current_setting('autovacuum') as autovacuum, current_setting('synchronous_standby_names') as standbys,
  (select setting from pg_settings where name = 'idle_in_transaction_session_timeout') as idle,
  pg_is_in_recovery() as recovering, (select count(*)::int from pg_stat_replication) as attached,
  (select count(*)::int from pg_stat_replication where sync_state in ('sync', 'quorum')) as synchronous`

/** Settings under which Postgres forgets what it has acknowledged, or never acknowledges it. */
export async function findServerFaults(client: PoolClient): Promise<Finding[]> {
  const { rows } = await client.query<Settings>(SETTINGS)
  const found = rows[0] as Settings
  const findings: Finding[] = []
  const add = (level: Finding['level'], check: string, detail: string): number =>
    findings.push({ level, check, detail })
  if (found.version < VERSION_MIN) add('error', 'serverVersion', `Postgres ${found.version}: 14 or newer is needed`)
  if (found.recovering)
    add('error', 'standby', 'this is a standby: it takes no transactions and answers no check-backs')
  if (found.fsync === 'off')
    add('error', 'fsync', 'fsync is off: a crash of the machine forgets committed transactions')
  if (found.full_page_writes === 'off') {
    add('error', 'fullPageWrites', 'full_page_writes is off: a crash of the machine may leave torn pages')
  }
  if (['off', 'local', 'remote_write'].includes(found.synchronous_commit)) {
    const detail = `synchronous_commit is ${found.synchronous_commit}: the outbox raises it for its transactions, for others commits may be forgotten`
    add('warning', 'synchronousCommit', detail)
  }
  if (found.autovacuum === 'off') add('warning', 'autovacuum', 'autovacuum is off: the tables grow without end')
  const { attached, standbys, synchronous } = found
  if (attached > 0 && standbys === '') {
    const detail = `${attached} standbys are attached and synchronous_standby_names is empty: a failover forgets the newest commits, and their messages are out`
    add('warning', 'asyncStandby', detail)
  }
  // Who may not look at others' sessions sees no sync_state.
  if (standbys !== '' && attached === 0) {
    add(
      'error',
      'missingStandby',
      `synchronous_standby_names is ${standbys} and no standby is attached: every COMMIT waits`,
    )
  } else if (standbys !== '' && synchronous === 0) {
    add(
      'warning',
      'missingStandby',
      `synchronous_standby_names is ${standbys}, and no attached standby is seen to be synchronous`,
    )
  }
  const idleMs = Number(found.idle)
  if (idleMs > 0 && idleMs < 1_000) {
    add(
      'warning',
      'idleInTransaction',
      `idle_in_transaction_session_timeout is ${idleMs} ms: pauses in user code end transactions`,
    )
  }
  return findings
}

/** A pooler hands out process ids of its own. */
export async function findPoolerFaults(client: PoolClient): Promise<Finding[]> {
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
  const announced = (client as PoolClient & { processID?: number | null }).processID
  if (announced === undefined || announced === null || announced === rows[0]?.pid) return []
  const detail =
    'a pooler is in between: transaction or session pooling works, statement pooling does not; its query_wait_timeout and client_idle_timeout end transactions'
  return [{ level: 'warning', check: 'pooler', detail }]
}

/** Two databases that answer for one domain give contradictory answers. */
export async function findClusterFaults(client: PoolClient, schema: Schema): Promise<Finding[]> {
  const domain = await readDomain(client, schema)
  if (domain === undefined) {
    return [{ level: 'error', check: 'schema', detail: `${schema.domain} is empty: this database has no domain` }]
  }
  const findings: Finding[] = []
  const { noted, here } = domain
  if (here.cluster === undefined || noted.cluster === undefined) {
    const detail = `copies of this database in other clusters cannot be told apart: ${here.cluster === undefined ? 'the role may not call pg_control_system()' : 'the cluster is not noted, run tandem outbox migrate --adopt-cluster'}`
    findings.push({ level: 'warning', check: 'clusterUnknown', detail })
  }
  const foreign = whyForeign(domain)
  if (foreign !== undefined) findings.push({ level: 'error', check: 'clone', detail: foreign })
  const promoted = whyPromoted(domain)
  if (promoted !== undefined) findings.push({ level: 'warning', check: 'promoted', detail: promoted })
  return findings
}
