import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { Admin } from '@tandemmq/client'
import { Outbox } from '@tandemmq/outbox'
import { startTestDatabase } from '@tandemmq/testing/database'
import pg from 'pg'
import { ChildProgram } from '../../kit/child-program.ts'
import { freePort } from '../../kit/free-port.ts'
import { SeededRandom } from '../../kit/seeded-random.ts'
import { tandemUp } from '../../kit/tandem-program.ts'
import { temporaryDirectory } from '../../kit/temporary-directory.ts'
import { elapse, until } from '../../kit/waiting.ts'
import { HistoryReader } from '../history.ts'
import { type OrderRow, OrdersJudge, type OrdersVerdict } from './orders-judge.ts'

export type Design = 'outbox-pg' | 'outbox-knex' | 'half-first'

export interface OutboxKillOptions {
  designs: readonly Design[]
  points: readonly string[]
  rounds: number
  seed: number
}

export interface OutboxKillResult extends OrdersVerdict {
  readonly figures: Readonly<Record<string, number>>
  /** What the service left behind after each kill, by point; empty when nothing. */
  readonly leftovers: readonly string[]
}

const ORDERS = 16
const SETTLE_MS_MAX = 15_000
// Deleted in batches, the last when the process closes: there is one hit in a short run.
const HITS_MAX: Readonly<Record<string, number>> = { P14: 1 }
const DEFAULT_HITS_MAX = 5
// The first order of the control is a quick one, the second meets the check-back.
const CONTROL_HIT = 2

/**
 * kill -9 of the orders service at each point, with a real Postgres and a real broker; then a fresh process of its group
 * answers for it. What Postgres holds must be what an independent consumer received, each message once.
 */
export async function killOrders(options: OutboxKillOptions): Promise<OutboxKillResult> {
  await using run = await OrdersRun.start()
  const random = new SeededRandom(options.seed)
  const started = Date.now()
  let kills = 0
  for (let round = 0; round < options.rounds; round++) {
    for (const point of options.points) {
      const design = random.pick(options.designs)
      const hit = random.between(1, HITS_MAX[point] ?? DEFAULT_HITS_MAX)
      await run.killAt(point, design === 'half-first' ? CONTROL_HIT : hit, design, `${point}-${round}`)
      kills++
    }
  }
  const { leftovers, anomalies } = run
  const verdict = await run.verdict()
  const { committed, received, lost, ghosts, doubles, untrue } = verdict
  const figures = { kills, committed, received, lost: lost.length, ghosts: ghosts.length, doubles: doubles.length }
  const rest = { untrue: untrue.length, leftovers: leftovers.length, anomalies, seed: options.seed }
  return { ...verdict, leftovers, figures: { ...figures, ...rest, seconds: (Date.now() - started) / 1_000 } }
}

/** Postgres, broker, consumer: what outlives the orders service. */
class OrdersRun {
  readonly leftovers: string[] = []
  anomalies = 0
  readonly #histories: string
  readonly #url: string
  readonly #address: string
  readonly #pool: pg.Pool
  readonly #admin: Admin
  readonly #reader: HistoryReader
  readonly #judge = new OrdersJudge()
  readonly #programs: ChildProgram[] = []
  readonly #closers: (() => unknown)[]

  private constructor(url: string, address: string, histories: string, closers: (() => unknown)[]) {
    this.#url = url
    this.#address = address
    this.#histories = histories
    this.#closers = closers
    this.#reader = new HistoryReader(histories)
    this.#pool = new pg.Pool({ connectionString: url, max: 2 })
    // A connection that is still saying goodbye when the database is dropped.
    this.#pool.on('error', () => {})
    this.#admin = new Admin({ nameServers: address })
  }

  static async start(): Promise<OrdersRun> {
    const folder = temporaryDirectory('outbox-kill')
    const closers: (() => unknown)[] = [() => folder.remove()]
    const histories = join(folder.path, 'histories')
    mkdirSync(histories)
    // Late enough that a sweeper which did not ask would be there before the check-back.
    const set = { transactionTimeoutMs: 900, transactionCheckIntervalMs: 400 }
    const broker = tandemUp({ dataDir: join(folder.path, 'data'), port: await freePort(), set })
    closers.push(() => broker.stop('SIGKILL'))
    try {
      const [address, database] = await Promise.all([broker.ready(), startTestDatabase()])
      closers.push(() => database.close())
      const run = new OrdersRun(database.url, address, histories, closers)
      await run.#prepare()
      return run
    } catch (error) {
      for (const close of closers.toReversed()) await close()
      throw error
    }
  }

  async #prepare(): Promise<void> {
    const outbox = new Outbox({ database: this.#pool, nameServers: this.#address, group: 'orders' })
    await outbox.migrate()
    await this.#pool.query('create table orders (id text primary key, messages int not null)')
    await this.#admin.start()
    await this.#admin.createTopic('orders')
    await this.#spawn('broker-consumer.mjs', [
      'push',
      this.#address,
      this.#histories,
      'c0',
      'billing',
      'orders',
    ]).ready()
  }

  async killAt(point: string, hit: number, design: Design, name: string): Promise<void> {
    const victim = this.#service(design, name, ORDERS, { TANDEM_FAILPOINT: `${point}:kill@${hit}` })
    const end = await victim.ended()
    if (end !== 'SIGKILL')
      throw new Error(`${design} never came to ${point}@${hit}, it ended with ${end}: ${victim.err}`)
    // Rows leased by the dead process are free again after 10 s; nobody here waits for that.
    await this.#pool.query('update tandem.outbox set lease_until = null')
    const heir = this.#service(design, `${name}-heir`, 0, {})
    await heir.ready()
    let left = ''
    await until(async () => (left = await this.#unsettled()) === '', SETTLE_MS_MAX).catch(() => {
      this.leftovers.push(`${design} killed at ${point}@${hit}: ${left}`)
    })
    // A control that loses messages would be waited for in vain.
    if (design !== 'half-first') await until(async () => (await this.#missing()) === 0, SETTLE_MS_MAX).catch(() => {})
    const heirEnd = await heir.stop()
    const stats = /^stats (.+)$/m.exec(heir.out)?.[1]
    if (heirEnd !== '0' || stats === undefined) throw new Error(`the heir ended with ${heirEnd}: ${heir.err}`)
    this.anomalies += (JSON.parse(stats) as { anomalies: number }).anomalies
  }

  /** All kills together, after a last chance for what must not arrive. */
  async verdict(): Promise<OrdersVerdict> {
    await elapse(1_000)
    this.#read()
    return this.#judge.verdict(await this.#orders())
  }

  #service(design: Design, name: string, orders: number, env: Record<string, string>): ChildProgram {
    return this.#spawn(
      'outbox/orders-process.mjs',
      [design, this.#url, this.#address, this.#histories, name, String(orders)],
      env,
    )
  }

  #spawn(file: string, args: readonly string[], env: Record<string, string> = {}): ChildProgram {
    const program = new ChildProgram({ file: `test/crash/${file}`, args, env, readyLine: /^ready$/m })
    this.#programs.push(program)
    return program
  }

  /** What still waits for somebody: half messages, markers, rows of the outbox table. */
  async #unsettled(): Promise<string> {
    const halves = (await this.#admin.transactions()).length
    const { rows } = await this.#pool.query<{ markers: number; waiting: number }>(
      `select (select count(*) from tandem.tx where state <> 'R')::int as markers,
              (select count(*) from tandem.outbox)::int as waiting`,
    )
    const { markers = 0, waiting = 0 } = rows[0] ?? {}
    return halves + markers + waiting === 0 ? '' : `${halves} halves, ${markers} markers, ${waiting} outbox rows`
  }

  async #missing(): Promise<number> {
    this.#read()
    return this.#judge.verdict(await this.#orders()).lost.length
  }

  #read(): void {
    this.#reader.read((event) => this.#judge.take(event))
  }

  async #orders(): Promise<OrderRow[]> {
    return (await this.#pool.query<OrderRow>('select id, messages from orders')).rows
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#programs.map((program) => program.stop('SIGKILL')))
    await this.#admin.close()
    await this.#pool.end()
    for (const close of this.#closers.toReversed()) await close()
  }
}
