import { type ChildProcess, spawn } from 'node:child_process'
import { chownSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../../kit/free-port.ts'

/** Where the Debian package puts it, and elsewhere; undefined when it is not installed. */
export function pgbouncerProgram(): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/usr/local/sbin']
  return folders.map((folder) => join(folder, 'pgbouncer')).find((file) => existsSync(file))
}

/** It refuses to run as root. */
function runAs(): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {}
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((user) => user.startsWith('nobody:'))
  const [, , uid, gid] = line?.split(':') ?? []
  return { uid: Number(uid), gid: Number(gid) }
}

/** pgbouncer in transaction pooling mode in front of one database. */
export class Pgbouncer {
  /** The database through it. */
  readonly url: string
  readonly #folder: string
  readonly #port: number
  #process: ChildProcess | undefined

  private constructor(database: string, folder: string, port: number) {
    this.#folder = folder
    this.#port = port
    const { hostname, port: behind, username, password, pathname } = new URL(database)
    const name = pathname.slice(1)
    this.url = `postgres://${username}:unused@127.0.0.1:${port}/${name}`
    writeFileSync(
      this.#config,
      `[databases]
${name} = host=${hostname} port=${behind} user=${username} password=${password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 20
`,
    )
  }

  static async start(database: string): Promise<Pgbouncer> {
    const folder = mkdtempSync(join(tmpdir(), 'tandemmq-pgbouncer-'))
    const made = new Pgbouncer(database, folder, await freePort())
    const { uid, gid } = runAs()
    if (uid !== undefined && gid !== undefined) for (const file of [folder, made.#config]) chownSync(file, uid, gid)
    await made.start()
    return made
  }

  get #config(): string {
    return join(this.#folder, 'pgbouncer.ini')
  }

  async start(): Promise<void> {
    const child = spawn(pgbouncerProgram() ?? '', [this.#config], { ...runAs(), cwd: '/', stdio: 'ignore' })
    this.#process = child
    while (!(await this.#answers())) {
      if (child.exitCode !== null) throw new Error(`pgbouncer ended with ${child.exitCode}`)
    }
  }

  #answers(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = connect(this.#port, '127.0.0.1')
      socket.once('connect', () => {
        socket.destroy()
        resolve(true)
      })
      socket.once('error', () => setTimeout(resolve, 20, false))
    })
  }

  async kill(): Promise<void> {
    const child = this.#process
    if (child === undefined) return
    this.#process = undefined
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await gone
  }

  async stop(): Promise<void> {
    await this.kill()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
