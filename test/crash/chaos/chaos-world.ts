import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type FaultProxy, startFaultProxy } from '@tandemmq/testing'
import { ChildProgram } from '../../kit/child-program.ts'
import { freePort } from '../../kit/free-port.ts'
import { HistoryWriter } from '../../kit/history-writer.mjs'
import type { SeededRandom } from '../../kit/seeded-random.ts'
import { tandemUp } from '../../kit/tandem-program.ts'
import { temporaryDirectory } from '../../kit/temporary-directory.ts'
import type { FaultKind, Violation } from '../rules/event.ts'

/** A client with its own way to the broker; each new process of it has a name and a log of its own. */
export interface Client {
  readonly name: string
  readonly file: string
  readonly proxy: FaultProxy
  starts: number
  proc: string
  program: ChildProgram
}

// Small segments, so that kills also meet the change from one to the next; check-backs and the death of members soon.
const set = {
  flush: 'sync',
  messageBytesMax: 1 << 20,
  segmentBytes: 4 << 20,
  transactionTimeoutMs: 500,
  transactionCheckIntervalMs: 1_000,
  channelExpiryMs: 8_000,
}

const STALL_WATCH_MS = 100
const STALL_MS = 400

/** One broker and its clients, each in a process of its own, and what is done to them. */
export class ChaosWorld implements AsyncDisposable {
  readonly directory: string
  readonly clients: Client[] = []
  /** What processes did that no history tells: ended by themselves, or did not end when told to. */
  readonly misbehaved: Violation[] = []
  readonly #folder = temporaryDirectory('chaos')
  readonly #history: HistoryWriter
  readonly #random: SeededRandom
  readonly #port: number
  readonly #env: Readonly<Record<string, string>>
  #broker: ChildProgram

  private constructor(random: SeededRandom, port: number, env: Readonly<Record<string, string>>) {
    this.directory = this.#folder.path
    mkdirSync(this.histories)
    this.#history = new HistoryWriter(this.histories, 'harness')
    this.#random = random
    this.#port = port
    this.#env = env
    this.#broker = this.#up()
  }

  /** @param options `env`: more of the environment of each program, which may make it another one */
  static async start(options: {
    random: SeededRandom
    producers: number
    consumers: number
    env?: Readonly<Record<string, string>>
  }): Promise<ChaosWorld> {
    const world = new ChaosWorld(options.random, await freePort(), options.env ?? {})
    try {
      await world.#broker.ready()
      for (let n = 0; n < options.consumers; n++) await world.#client(`c${n}`, 'chaos-consumer.mjs')
      for (let n = 0; n < options.producers; n++) await world.#client(`p${n}`, 'chaos-producer.mjs')
      await Promise.all(world.clients.map(({ program }) => program.ready()))
      return world
    } catch (error) {
      await world[Symbol.asyncDispose]()
      throw error
    }
  }

  get histories(): string {
    return join(this.directory, 'histories')
  }

  get producers(): Client[] {
    return this.clients.filter(({ name }) => name.startsWith('p'))
  }

  get consumers(): Client[] {
    return this.clients.filter(({ name }) => name.startsWith('c'))
  }

  get broker(): ChildProgram {
    return this.#broker
  }

  fault(kind: FaultKind, target: string): void {
    this.#history.write('fault', { kind, target })
  }

  ended(kind: FaultKind, target: string, readyMs?: number): void {
    this.#history.write('fault.end', { kind, target, readyMs })
  }

  /** Writes down when this process, and so perhaps every other, got no time. */
  watchStalls(): Disposable {
    let seenAt = performance.now()
    const timer = setInterval(() => {
      const lateMs = performance.now() - seenAt - STALL_WATCH_MS
      seenAt += lateMs + STALL_WATCH_MS
      if (lateMs > STALL_MS) this.#history.write('stall', { ms: Math.round(lateMs) })
    }, STALL_WATCH_MS)
    return { [Symbol.dispose]: () => clearInterval(timer) }
  }

  /** Ends the broker; `again`: after so many ms of recovery once more, with SIGKILL. @returns ms until it served */
  async restartBroker(signal: 'SIGKILL' | 'SIGTERM', againMs?: number): Promise<number> {
    await this.#stop(this.#broker, 'broker', signal)
    if (againMs !== undefined) {
      this.#broker = this.#up()
      await new Promise((resolve) => setTimeout(resolve, againMs))
      await this.#broker.stop('SIGKILL')
    }
    const started = Date.now()
    this.#broker = this.#up()
    await this.#broker.ready(60_000)
    return Date.now() - started
  }

  /** Ends a client, and starts the next process of it after a pause. */
  async restart(client: Client, signal: 'SIGKILL' | 'SIGTERM', pauseMs: number): Promise<void> {
    await this.#stop(client.program, client.proc, signal)
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
    this.#launch(client)
    await client.program.ready(30_000)
  }

  /** Ends everything in an orderly way: clients, then a reader of all queues, then the broker. */
  async finish(): Promise<void> {
    await Promise.all(this.clients.map(({ program, proc }) => this.#stop(program, proc, 'SIGTERM')))
    const audit = this.#run('chaos-audit.mjs', this.#address, 'audit', 'audit')
    if ((await audit.stop('SIGCONT', 60_000)) !== '0') throw new Error(`the audit failed: ${audit.err}`)
    await this.#stop(this.#broker, 'broker', 'SIGTERM')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const programs = [this.#broker, ...this.clients.map(({ program }) => program)]
    await Promise.all(programs.map((program) => program.stop('SIGKILL')))
    await Promise.all(this.clients.map(({ proxy }) => proxy.close()))
    if (process.env['CHAOS_KEEP'] === undefined) this.#folder.remove()
  }

  get #address(): string {
    return `127.0.0.1:${this.#port}`
  }

  #up(): ChildProgram {
    return tandemUp({ dataDir: join(this.directory, 'data'), port: this.#port, set, env: this.#env })
  }

  async #client(name: string, file: string): Promise<void> {
    const proxy = await startFaultProxy(this.#address)
    const client = { name, file, proxy, starts: 0, proc: '', program: undefined as unknown as ChildProgram }
    this.#launch(client)
    this.clients.push(client)
  }

  #launch(client: Client): void {
    client.proc = `${client.name}.${client.starts++}`
    client.program = this.#run(client.file, client.proxy.address, client.name, client.proc)
  }

  #run(file: string, via: string, name: string, proc: string): ChildProgram {
    const seed = String(this.#random.between(1, 1e9))
    return new ChildProgram({
      file: `test/crash/chaos/${file}`,
      args: [this.#address, via, this.directory, name, proc, seed],
      readyLine: /^ready$/m,
      env: this.#env,
    })
  }

  async #stop(program: ChildProgram, name: string, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const tell = (text: string): void =>
      void this.misbehaved.push({
        rule: 'Processes',
        text: `${text}: ${program.err.slice(-2_000)}`,
        t: 0,
        words: [name],
      })
    if (!program.isAlive) return tell(`${name} ended by itself (${await program.ended()})`)
    const end = await program.stop(signal, 30_000)
    if (end !== (signal === 'SIGKILL' ? 'SIGKILL' : '0')) tell(`${name} ended with ${end} after ${signal}`)
  }
}
