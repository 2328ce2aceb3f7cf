import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import {
  appendFileSync,
  chownSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { freePort } from '../../kit/free-port.ts'
import { elapse, until } from '../../kit/waiting.ts'
import { guard } from '../../kit/watchdog.ts'

/** What there is to know of a running server that somebody may stand by. */
export interface Postgres {
  readonly port: number
  url(database: string): string
  /** `kill -9` of the server and all its backends. */
  kill(): Promise<void>
  stop(): Promise<void>
}

/** The name under which a standby asks for the log, and which a primary waits for. */
export const STANDBY = 'standby'

const START_MS_MAX = 30_000
const settings = {
  ...{ fsync: 'off', listen_addresses: '127.0.0.1', unix_socket_directories: '', max_connections: '200' },
  ...{ shared_buffers: '32MB', log_min_messages: 'log', log_min_error_statement: 'panic', wal_keep_size: '256MB' },
}

/** A copy of a running server that follows it until it is promoted. */
export class Standby implements Postgres {
  readonly port: number
  readonly #directory: string
  readonly #url: URL
  readonly #child: ChildProcess
  #log = ''

  private constructor(directory: string, binary: string, url: URL, port: number) {
    this.#directory = directory
    this.#url = url
    this.port = port
    const { uid, gid } = statSync(directory)
    const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    this.#child = spawn(binary, ['-D', directory, '-p', String(port), ...flags], {
      ...(process.getuid?.() === 0 ? { uid, gid } : {}),
      cwd: '/',
      env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    guard(this.#child)
    this.#child.stderr?.on('data', (bytes: Buffer) => (this.#log = (this.#log + bytes.toString()).slice(-20_000)))
  }

  /**
   * Copies the files of `primary` while it runs and starts the copy.
   * @param directory of the copy, not there yet; its parent must be reachable for the user who runs Postgres
   */
  static async of(primary: Postgres, directory: string): Promise<Standby> {
    const client = new pg.Client({ connectionString: primary.url('postgres') })
    await client.connect()
    try {
      const { rows } = await client.query<{ data: string }>("select current_setting('data_directory') as data")
      const data = rows[0]?.data ?? ''
      await client.query("select pg_backup_start('copy', true)")
      const { uid, gid } = statSync(data)
      mkdirSync(directory, { mode: 0o700 })
      chownSync(directory, uid, gid)
      // Files that vanish meanwhile are no failure: the log says what became of them.
      spawnSync('cp', ['-a', `${data}/.`, directory], { stdio: 'ignore' })
      const stopped = await client.query<{ labelfile: string }>('select labelfile from pg_backup_stop(false)')
      writeFileSync(join(directory, 'backup_label'), stopped.rows[0]?.labelfile ?? '')
      const binary = readlinkSync(`/proc/${postmasterOf(data)}/exe`)
      const url = new URL(primary.url('postgres'))
      const port = await freePort()
      prepare(directory, url)
      url.port = String(port)
      const standby = new Standby(directory, binary, url, port)
      await standby.#ready()
      return standby
    } finally {
      await client.end()
    }
  }

  url(database: string): string {
    const url = new URL(this.#url)
    url.pathname = `/${database}`
    return url.href
  }

  /** From standby to primary, on a timeline of its own. */
  async promote(): Promise<void> {
    const client = new pg.Client({ connectionString: this.url('postgres') })
    await client.connect()
    await client.query('select pg_promote(true, 30)')
    await client.end()
  }

  async kill(): Promise<void> {
    const postmaster = this.#child.pid ?? 0
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    process.kill(postmaster, 'SIGSTOP') // It must not notice a dying backend and start its own recovery.
    const children = spawnSync('ps', ['-o', 'pid=', '--ppid', String(postmaster)], { encoding: 'utf8' }).stdout
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    for (const pid of [...children.split('\n').map(Number).filter(Boolean), postmaster]) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It was gone already.
      }
    }
    await ended
  }

  async stop(): Promise<void> {
    await this.kill()
    rmSync(this.#directory, { recursive: true, force: true })
  }

  async #ready(): Promise<void> {
    await until(
      async () => {
        await elapse(30)
        if (this.#child.exitCode !== null) throw new Error(`the standby ended: ${this.#log}`)
        return /ready to accept read-only connections/.test(this.#log)
      },
      START_MS_MAX,
      () => this.#log,
    )
  }
}

export function postmasterOf(data: string): number {
  return Number(readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')[0])
}

function prepare(directory: string, primary: URL): void {
  const { uid, gid } = statSync(directory)
  for (const name of ['postmaster.pid', 'postmaster.opts']) rmSync(join(directory, name), { force: true })
  const where = `host=127.0.0.1 port=${primary.port} user=postgres password=${primary.password} application_name=${STANDBY}`
  appendFileSync(join(directory, 'postgresql.auto.conf'), `primary_conninfo = '${where}'\n`)
  writeFileSync(join(directory, 'standby.signal'), '')
  for (const name of ['standby.signal', 'backup_label']) chownSync(join(directory, name), uid, gid)
}
