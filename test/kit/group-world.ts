import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { Admin, Producer, type PushConsumerOptions } from '@tandemmq/client'
import { HistoryReader } from '../crash/history.ts'
import { ChildProgram } from './child-program.ts'
import { freePort } from './free-port.ts'
import { tandemUp } from './tandem-program.ts'
import { temporaryDirectory } from './temporary-directory.ts'

/** What a member wrote about one message; `t` in ns of one clock for all processes of the machine. */
export interface Handled {
  readonly event: 'begin' | 'end'
  readonly t: number
  readonly wall: number
  readonly proc: string
  readonly id: string
  readonly topic: string
  readonly queueId: number
  readonly offset: number
  readonly attempt: number
}

export type MemberOptions = Omit<
  PushConsumerOptions,
  'nameServers' | 'clock' | 'network' | 'logger' | 'allocate' | 'filter' | 'broadcastOffsets' | 'startFrom'
> & {
  startFrom?: 'first' | 'last'
  subscriptions: Readonly<Record<string, '*' | { tags: string[] }>>
  handlerMs?: number
  offsetsIn?: string
}

const BATCH = 10

/** The real broker and members of groups, each in a process of its own; producer and admin here. */
export class GroupWorld implements AsyncDisposable {
  readonly #folder = temporaryDirectory('groups')
  readonly histories = join(this.#folder.path, 'histories')
  readonly #reader = new HistoryReader(this.histories)
  readonly #events: Handled[] = []
  readonly #programs: ChildProgram[] = []
  readonly #set: Readonly<Record<string, string | number | boolean>>
  readonly port: number
  producer!: Producer
  admin!: Admin
  #broker!: ChildProgram

  private constructor(port: number, set: Readonly<Record<string, string | number | boolean>>) {
    this.port = port
    this.#set = set
    mkdirSync(this.histories)
  }

  /** @param set broker options, as `--set` takes them. @param port of the broker, default a free one */
  static async start(
    set: Readonly<Record<string, string | number | boolean>> = {},
    port?: number,
  ): Promise<GroupWorld> {
    const world = new GroupWorld(port ?? (await freePort()), { flush: 'async', ...set })
    await world.startBroker()
    world.producer = new Producer({ nameServers: world.address, group: 'world', sendTimeoutMs: 10_000 })
    world.admin = new Admin({ nameServers: world.address })
    await world.producer.start()
    await world.admin.start()
    return world
  }

  get address(): string {
    return `127.0.0.1:${this.port}`
  }

  folder(name: string): string {
    return join(this.#folder.path, name)
  }

  async startBroker(): Promise<void> {
    this.#broker = tandemUp({ dataDir: this.folder('data'), port: this.port, set: this.#set })
    await this.#broker.ready()
  }

  async killBroker(): Promise<void> {
    await this.#broker.stop('SIGKILL')
  }

  /** Resolves when the member is ready. @param name of its history; two members may write one after the other into the same */
  async member(name: string, options: MemberOptions): Promise<ChildProgram> {
    const program = new ChildProgram({
      file: 'test/system/group-member.mjs',
      args: [this.histories, name, JSON.stringify({ nameServers: this.address, ...options })],
      readyLine: /^ready$/m,
    })
    this.#programs.push(program)
    await program.ready()
    return program
  }

  /** Bodies `prefix0`, `prefix1`, …, spread over the queues. */
  async send(topic: string, count: number, prefix = '', tag?: string): Promise<void> {
    const all = Array.from({ length: count }, (_, n) => ({ topic, body: `${prefix}${n}`, tag }))
    // A batch goes to one queue.
    const batches = Array.from({ length: Math.ceil(count / BATCH) }, (_, n) => all.slice(n * BATCH, (n + 1) * BATCH))
    await Promise.all(batches.map((batch) => this.producer.sendAll(batch)))
  }

  /** Everything all members wrote, in the order of time. */
  handled(event: 'begin' | 'end' = 'end'): Handled[] {
    this.#reader.read((one) => void this.#events.push(one as unknown as Handled))
    return this.#events.filter((one) => one.event === event).toSorted((a, b) => a.t - b.t)
  }

  /** Different bodies whose handler ended. */
  get distinct(): number {
    return new Set(this.handled().map(({ id }) => id)).size
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled([this.producer?.close(), this.admin?.close()])
    await Promise.all([this.#broker, ...this.#programs].map((program) => program.stop('SIGKILL')))
    this.#folder[Symbol.dispose]()
  }
}
