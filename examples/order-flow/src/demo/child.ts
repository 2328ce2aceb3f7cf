import { type ChildProcess, fork } from 'node:child_process'
import { appendFileSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const READY_TIMEOUT_MS = 20_000
const STOP_TIMEOUT_MS = 8_000
const loadedFirst = ['./end-with-parent.js', './cut-off.js'].map((name) => new URL(name, import.meta.url).href)

export interface ChildOptions {
  name: string
  program: string | URL
  args?: string[]
  environment?: Record<string, string>
  /** Everything it prints is appended here. */
  logFile: string
  /** It serves when it prints this; default: when it sends a message with its URL. */
  readyLine?: RegExp
}

/** A process of the demo. */
export class Child {
  readonly name: string
  /** SIGKILL or an exit code, when it has ended. */
  readonly ended: Promise<string>
  readonly #process: ChildProcess
  readonly #logFile: string
  readonly #ready: Promise<RegExpMatchArray | undefined>
  #printed = ''
  #url = ''
  #stopping = false

  constructor(options: ChildOptions) {
    const { name, program, args = [], environment = {}, logFile, readyLine } = options
    this.name = name
    this.#logFile = logFile
    this.#process = fork(typeof program === 'string' ? program : fileURLToPath(program), args, {
      env: { ...process.env, NO_COLOR: '1', ...environment },
      execArgv: loadedFirst.flatMap((url) => ['--import', url]),
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      // A process group of its own: Ctrl-C reaches the demo alone, which then stops things in the right order.
      detached: true,
    })
    this.ended = new Promise((resolve) => {
      this.#process.once('error', (error) => resolve(error.message))
      this.#process.once('exit', (code, signal) => resolve(signal ?? String(code)))
    })
    this.#ready = this.#becomeReady(readyLine)
    // Who does not ask for it must not die of it.
    this.#ready.catch(() => {})
  }

  get isRunning(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null
  }

  /** Ended although nobody wanted it to. */
  get hasFailed(): boolean {
    return !this.isRunning && !this.#stopping
  }

  /** Where it serves HTTP, once it is ready. */
  get url(): string {
    return this.#url
  }

  get pid(): number | undefined {
    return this.#process.pid
  }

  /** @returns the ready line, if it was to print one */
  ready(): Promise<RegExpMatchArray | undefined> {
    return this.#ready
  }

  /** From now on its end is part of the story. */
  expectEnd(): void {
    this.#stopping = true
  }

  async kill(): Promise<void> {
    this.#stopping = true
    this.#process.kill('SIGKILL')
    await this.ended
  }

  /** From now on it cannot reach these ports; none: it can again. */
  cutOff(ports: readonly number[]): void {
    this.#process.send({ cutOff: ports })
  }

  /** SIGTERM, and SIGKILL for who does not listen. */
  async stop(): Promise<void> {
    this.#stopping = true
    if (!this.isRunning) return
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), STOP_TIMEOUT_MS)
    this.#process.kill('SIGTERM')
    await this.ended
    clearTimeout(timer)
  }

  /** The last lines it printed. */
  tail(lines: number): string[] {
    return readFileSync(this.#logFile, 'utf8').trimEnd().split('\n').slice(-lines)
  }

  #becomeReady(readyLine: RegExp | undefined): Promise<RegExpMatchArray | undefined> {
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => reject(new Error(`${this.name} did not start: ${why}`))
      const timer = setTimeout(() => fail(`not ready after ${READY_TIMEOUT_MS / 1_000} s`), READY_TIMEOUT_MS)
      const settle = (match?: RegExpMatchArray): void => {
        clearTimeout(timer)
        resolve(match)
      }
      const onOutput = (chunk: Buffer): void => {
        appendFileSync(this.#logFile, chunk)
        this.#printed = (this.#printed + chunk.toString()).slice(-2_000)
        const match = readyLine && this.#printed.match(readyLine)
        if (match) settle(match)
      }
      appendFileSync(this.#logFile, '')
      this.#process.stdout?.on('data', onOutput)
      this.#process.stderr?.on('data', onOutput)
      this.#process.on('message', ({ url }: { url: string }) => {
        this.#url = url
        settle()
      })
      void this.ended.then((how) => {
        clearTimeout(timer)
        fail(`it ended (${how})`)
      })
    })
  }
}
