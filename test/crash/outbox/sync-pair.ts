import { chmodSync, chownSync, statSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { temporaryDirectory } from '../../kit/temporary-directory.ts'
import { elapse, until } from '../../kit/waiting.ts'
import type { ChaosWorld } from './chaos-world.ts'
import { type Postgres, STANDBY, Standby } from './standby.ts'

const SYNC_MS_MAX = 30_000
const LAG_MS = 400

/** The Postgres of a world and who stands by for it. */
export class SyncPair implements AsyncDisposable {
  readonly #world: ChaosWorld
  readonly #copies = temporaryDirectory('standby')
  #next = 0
  #standby: Standby | undefined

  constructor(world: ChaosWorld) {
    this.#world = world
  }

  /**
   * A new standby, caught up.
   * @param mode `sync`: from now on a commit waits for it
   * @returns kills the primary and puts the standby in its place
   */
  async stand(mode: 'sync' | 'async' = 'sync'): Promise<() => Promise<void>> {
    const primary = this.#world.postgres
    const owner = statSync(await settingOf(primary, 'data_directory'))
    chownSync(this.#copies.path, owner.uid, owner.gid)
    chmodSync(this.#copies.path, 0o755)
    const standby = await Standby.of(primary, join(this.#copies.path, String(this.#next++)))
    this.#standby = standby
    await withClient(primary, async (client) => {
      await waitFor(client, "state = 'streaming'")
      if (mode === 'async') return
      await client.query(`alter system set synchronous_standby_names = '${STANDBY}'`)
      await client.query('select pg_reload_conf()')
      await waitFor(client, "sync_state = 'sync'")
    })
    return async () => {
      await this.#world.replacePostgres(standby, () => standby.promote())
      this.#standby = undefined
    }
  }

  /** Nothing leaves the primary any more, though it goes on. */
  async lag(): Promise<void> {
    await withClient(this.#world.postgres, async (client) => {
      const { rows } = await client.query<{ pid: number }>('select pid from pg_stat_replication')
      for (const { pid } of rows) process.kill(pid, 'SIGSTOP')
    })
    await elapse(LAG_MS)
  }

  /** The one that is written to answers at once again, whoever is gone. */
  async waitForNobody(): Promise<void> {
    await withClient(this.#world.postgres, async (client) => {
      await client.query('alter system reset synchronous_standby_names')
      await client.query('select pg_reload_conf()')
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#standby?.stop()
    this.#copies.remove()
  }
}

async function waitFor(client: pg.Client, state: string): Promise<void> {
  await until(async () => {
    const { rows } = await client.query(`select 1 from pg_stat_replication where ${state}`)
    return rows.length > 0
  }, SYNC_MS_MAX)
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
