import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { guard } from './watchdog.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

export interface ChildProgramOptions {
  /** Path of a Node program below the repository's root. */
  file: string
  args?: readonly string[]
  env?: Readonly<Record<string, string>>
  /** Files and sockets it may have open at once (`ulimit -n`); default as many as this process. */
  openFilesMax?: number
  /** The line of standard output that says it is ready; its first group is the result of `ready()`. */
  readyLine?: RegExp
}

/** A Node program of this repository in a process of its own, which never outlives this one. */
export class ChildProgram {
  readonly #child: ChildProcess
  readonly #ended: Promise<string>
  readonly #readyLine: RegExp | undefined
  #out = ''
  #err = ''
  #wake: (() => void) | undefined

  constructor(options: ChildProgramOptions) {
    this.#readyLine = options.readyLine
    const command = [process.execPath, `${root}${options.file}`, ...(options.args ?? [])]
    const limit = options.openFilesMax === undefined ? '' : `ulimit -n ${options.openFilesMax} && `
    const [file = '', ...args] = limit === '' ? command : ['/bin/sh', '-c', `${limit}exec "$0" "$@"`, ...command]
    this.#child = spawn(file, args, {
      env: { ...process.env, NODE_OPTIONS: '', ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    guard(this.#child)
    this.#child.stdout?.on('data', (bytes: Buffer) => {
      this.#out += bytes.toString()
      this.#wake?.()
    })
    this.#child.stderr?.on('data', (bytes: Buffer) => (this.#err = (this.#err + bytes.toString()).slice(-20_000)))
    this.#ended = new Promise((resolve, reject) => {
      this.#child.once('error', reject)
      this.#child.once('close', (code, signal) => {
        resolve(signal ?? String(code))
        this.#wake?.()
      })
    })
    this.#ended.catch(() => this.#wake?.())
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  get out(): string {
    return this.#out
  }

  get err(): string {
    return this.#err
  }

  get isAlive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** @throws {Error} with what it wrote, when it ends before it is ready or is not ready within `timeoutMs` */
  async ready(timeoutMs = 20_000): Promise<string> {
    const readyLine = this.#readyLine
    if (readyLine === undefined) throw new Error('this program has no ready line')
    const deadline = Date.now() + timeoutMs
    for (;;) {
      const found = readyLine.exec(this.#out)
      if (found !== null) return found[1] ?? found[0]
      if (!this.isAlive) throw new Error(`ended (${await this.#ended}) before it was ready: ${this.#out}${this.#err}`)
      if (Date.now() > deadline) throw new Error(`not ready after ${timeoutMs} ms: ${this.#out}${this.#err}`)
      await this.#change(deadline - Date.now())
    }
  }

  /** How it ended: a signal's name, or the exit code. */
  ended(): Promise<string> {
    return this.#ended
  }

  /** @throws {Error} with what it wrote, when it ended already */
  signal(signal: NodeJS.Signals): void {
    if (!this.isAlive) throw new Error(`ended with ${this.#child.exitCode ?? this.#child.signalCode}: ${this.#err}`)
    this.#child.kill(signal)
  }

  /** Sends the signal and waits for the end. @returns as `ended()`; never waits longer than `timeoutMs` before SIGKILL */
  async stop(signal: NodeJS.Signals = 'SIGTERM', timeoutMs = 15_000): Promise<string> {
    if (this.isAlive) this.#child.kill(signal)
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), timeoutMs)
    try {
      return await this.#ended
    } finally {
      clearTimeout(timer)
    }
  }

  #change(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.max(1, timeoutMs))
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}
