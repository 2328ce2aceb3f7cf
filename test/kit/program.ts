import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** The built program, as npm installs it. */
const program = fileURLToPath(new URL('../../packages/cli/bin/tandem.js', import.meta.url))

export interface Ended {
  code: number | null
  out: string
  err: string
}

/** `tandem up` in a process of its own. */
export class UpProgram {
  readonly #child: ChildProcessWithoutNullStreams
  readonly #exited: Promise<unknown>
  #out = ''
  #err = ''

  private constructor(argv: readonly string[]) {
    const child = (this.#child = spawn(process.execPath, [program, 'up', ...argv]))
    child.stdout.on('data', (bytes) => (this.#out += bytes))
    child.stderr.on('data', (bytes) => (this.#err += bytes))
    this.#exited = once(child, 'close')
  }

  /** Resolves when it serves. @param argv default: any free port of 127.0.0.1 */
  static async start(dataDir: string, ...argv: string[]): Promise<UpProgram> {
    const started = new UpProgram(['--port', '0', '--data-dir', dataDir, ...argv])
    await Promise.race([once(started.#child.stdout, 'data'), started.#exited])
    if (started.address === '') throw new Error(`tandem up ended: ${started.#err}`)
    return started
  }

  get address(): string {
    return /^TandemMQ ready on (.+)$/m.exec(this.#out)?.[1] ?? ''
  }

  get port(): number {
    return Number(this.address.slice(this.address.lastIndexOf(':') + 1))
  }

  /** Standard output so far. */
  get out(): string {
    return this.#out
  }

  /** Standard error so far. */
  get err(): string {
    return this.#err
  }

  /** Sends the signal and waits for the end; SIGKILL leaves the directory as a crash does. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended> {
    this.#child.kill(signal)
    await this.#exited
    return { code: this.#child.exitCode, out: this.#out, err: this.#err }
  }
}

/** Runs one command of the program to its end. */
export async function tandem(...argv: string[]): Promise<Ended> {
  const child = spawn(process.execPath, [program, ...argv])
  let out = ''
  let err = ''
  child.stdout.on('data', (bytes) => (out += bytes))
  child.stderr.on('data', (bytes) => (err += bytes))
  await once(child, 'close')
  return { code: child.exitCode, out, err }
}
