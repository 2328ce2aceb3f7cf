import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { Admin } from '@tandemmq/client'
import { Outbox } from '@tandemmq/outbox'
import { PostgresCluster } from '@tandemmq/testing/postgres-cluster'
import pg from 'pg'
import { ChildProgram } from '../../kit/child-program.ts'
import { freePort } from '../../kit/free-port.ts'
import { tandemUp } from '../../kit/tandem-program.ts'
import { temporaryDirectory } from '../../kit/temporary-directory.ts'
import { elapse } from '../../kit/waiting.ts'
import type { Design, Seat, WorldOptions } from './chaos-seat.ts'
import { type CommittedOrder, OrderLedger } from './order-ledger.ts'
import { committedOrders, countLeft, createTables, TOPICS } from './order-tables.ts'
import { heldByStockBrokers, parkedByStockBrokers } from './stock-halves.ts'
import type { Postgres } from './standby.ts'
import { StreamProxy } from './stream-proxy.ts'

const IDS_PER_PROCESS = 10_000_000
const DONE_MS_MAX = 60_000
// Sweeping while everything happens: late enough that no caller still asks about what is swept.
const duringFaults = { idleInTransactionTimeoutMs: 1_000, markerAgeMs: 20_000, sweepIntervalMs: 3_000 }
const afterwards = { markerAgeMs: 0, sweepIntervalMs: 100, relayIntervalMs: 50 }

/** Postgres, broker, a reader of every position, and app processes behind proxies. */
export class ChaosWorld implements AsyncDisposable {
  readonly seats: Seat[] = []
  readonly ledger: OrderLedger
  readonly directory: string
  /** The one that is written to. */
  postgres!: Postgres
  #cluster!: PostgresCluster
  /** The way of the harness itself. */
  #front!: StreamProxy
  readonly #options: Required<Omit<WorldOptions, 'nameServer'>>
  readonly #nameServer: string | undefined
  /** In front of the names of topics and group: a cluster that runs already may have others of that name. */
  readonly #prefix: string
  readonly #folder = temporaryDirectory('outbox-chaos')
  readonly #brokerPort: number
  #broker: ChildProgram | undefined
  #reader: ChildProgram | undefined
  #pool!: pg.Pool
  #admin: Admin | undefined
  readonly #designs: Design[] = []

  private constructor(options: WorldOptions, brokerPort: number) {
    const designs = ['outbox', 'outbox', 'outbox'] as const
    this.#options = { designs, workers: 12, mix: {}, postgres: {}, broker: {}, ...options }
    this.directory = join(this.#folder.path, 'histories')
    mkdirSync(this.directory)
    this.#nameServer = options.nameServer
    this.#prefix = options.nameServer === undefined ? '' : `chaos-${Date.now().toString(36)}-`
    this.ledger = new OrderLedger(this.directory, { isStock: !this.ownsBroker })
    this.#brokerPort = brokerPort
    if (this.ownsBroker) this.#broker = this.#up()
  }

  static async start(options: WorldOptions): Promise<ChaosWorld> {
    const world = new ChaosWorld(options, await freePort())
    try {
      // What clients did wrong is of no interest in the server's log, and there will be much of it.
      const settings = { log_min_messages: 'log', log_min_error_statement: 'panic', ...options.postgres }
      const [cluster] = await Promise.all([PostgresCluster.start(settings), world.#broker?.ready(60_000)])
      world.#cluster = cluster
      world.postgres = cluster
      world.#front = await StreamProxy.start(cluster.port)
      await world.#prepare()
      return world
    } catch (error) {
      await world[Symbol.asyncDispose]()
      throw error
    }
  }

  async #prepare(): Promise<void> {
    this.#pool = new pg.Pool({ connectionString: this.#urlBy(this.#front), max: 2, connectionTimeoutMillis: 20_000 })
    this.#pool.on('error', () => {})
    await new Outbox({ database: this.#pool, nameServers: this.brokerAddress, group: this.#group }).migrate()
    await createTables(this.#pool)
    this.#admin = new Admin({ nameServers: this.brokerAddress })
    await this.#admin.start()
    const topics = TOPICS.map((topic) => this.#prefix + topic)
    for (const topic of topics) await this.#admin.createTopic(topic)
    const args = [this.brokerAddress, join(this.directory, 'reader.received'), ...topics]
    this.#reader = new ChildProgram({ file: 'test/crash/outbox/chaos-reader.mjs', args, readyLine: /^ready$/m })
    await this.#reader.ready()
    for (const [index, design] of this.#options.designs.entries()) {
      const [postgres, broker] = [
        await StreamProxy.start(this.postgres.port),
        await StreamProxy.start(this.#brokerPort),
      ]
      const program = undefined as unknown as ChildProgram
      const seat: Seat = { ...{ index, design, postgres, broker }, name: '', firstId: 0, program }
      this.seats.push(seat)
      this.launch(seat)
    }
    await Promise.all(this.seats.map(({ program }) => program.ready(30_000)))
  }

  /** @throws {Error} on a cluster of others, which is not ours to hurt */
  get broker(): ChildProgram {
    if (this.#broker === undefined) throw new Error('this broker belongs to somebody else')
    return this.#broker
  }

  get ownsBroker(): boolean {
    return this.#nameServer === undefined
  }

  get #group(): string {
    return `${this.#prefix}orders`
  }

  /** Processes started so far. */
  get processes(): number {
    return this.#designs.length
  }

  /** Who made an order, by its id. */
  designOf(id: number): Design | undefined {
    return this.#designs[Math.floor(id / IDS_PER_PROCESS) - 1]
  }

  get brokerAddress(): string {
    return this.#nameServer ?? `127.0.0.1:${this.#brokerPort}`
  }

  /** Seats a new process. It is ready when it could talk to Postgres, which may be away. */
  launch(
    seat: Seat,
    settings: Readonly<Record<string, unknown>> = {},
    env: Readonly<Record<string, string>> = {},
  ): void {
    const { workers, mix, random } = this.#options
    const { design } = seat
    const number = this.#designs.length
    const driver = design === 'outbox' && (seat.index + number) % 2 === 1 ? 'knex' : 'pg'
    this.#designs.push(design)
    seat.name = `app${seat.index}.${number}.${driver}`
    const all = {
      ...{
        name: seat.name,
        url: this.#urlBy(seat.postgres),
        broker: this.brokerAddress,
        via: this.#nameServer ?? `127.0.0.1:${seat.broker.port}`,
      },
      ...{
        design,
        driver,
        workers,
        group: design === 'outbox' ? this.#group : `${this.#group}-${design}`,
        mix: { prefix: this.#prefix, ...mix },
        directory: this.directory,
        seed: random.between(1, 1e9),
      },
      ...{ firstId: (number + 1) * IDS_PER_PROCESS, outbox: duringFaults, ...settings },
    }
    const args = [JSON.stringify(all)]
    seat.firstId = all.firstId
    seat.program = new ChildProgram({ file: 'test/crash/outbox/chaos-app.mjs', args, env, readyLine: /^ready$/m })
  }

  /** An outbox in this process: answers for the dead, relays, and sweeps when told. */
  async heir(): Promise<Outbox> {
    const outbox = new Outbox({
      ...{ database: this.#pool, nameServers: this.brokerAddress, group: this.#group, relayIntervalMs: 50 },
      ...{ markerAgeMs: 0, sweepIntervalMs: 3_600_000 },
    })
    await outbox.start()
    return outbox
  }

  /** Rows leased by whoever is dead are free. */
  async freeRows(): Promise<void> {
    await this.#pool.query('update tandem.outbox set lease_until = null')
  }

  async restartBroker(): Promise<void> {
    await this.broker.stop('SIGKILL')
    this.#broker = this.#up()
    await this.#broker.ready(60_000)
  }

  async restartPostgres(): Promise<void> {
    await this.#cluster.kill()
    await this.#cluster.start()
  }

  /** The one that is written to dies; when `promote` has made it ready, `heir` takes its place. */
  async replacePostgres(heir: Postgres, promote: () => Promise<void>): Promise<void> {
    await this.postgres.kill()
    if (this.postgres !== this.#cluster) await this.postgres.stop()
    this.postgres = heir
    await promote()
    for (const proxy of [this.#front, ...this.seats.map(({ postgres }) => postgres)]) proxy.retarget(heir.port)
  }

  #urlBy(proxy: StreamProxy): string {
    const url = new URL(this.postgres.url('postgres'))
    url.port = String(proxy.port)
    return url.href
  }

  /** No more transactions; resolves when those under way have ended. The processes live on. */
  async finishTransactions(): Promise<void> {
    // Who has just been started does not listen yet.
    await Promise.all(this.seats.map(({ program }) => program.ready(30_000)))
    for (const seat of this.seats) seat.program.signal('SIGUSR2')
    for (const { name, program } of this.seats) {
      const deadline = Date.now() + DONE_MS_MAX
      while (!program.out.includes('done\n')) {
        if (!program.isAlive || Date.now() > deadline) throw new Error(`${name} did not finish: ${program.err}`)
        await elapse(50)
      }
    }
  }

  /** Half messages nobody ended yet. */
  async halves(): Promise<number> {
    if (this.#admin === undefined) return 0
    return this.ownsBroker ? (await this.#admin.transactions()).length : heldByStockBrokers(this.#admin)
  }

  /**
   * No more transactions; what is under way ends, and processes that come after answer for the dead.
   * @returns what did not go away within `msMax`, '' when everything did
   */
  async quiesce(msMax: number): Promise<string> {
    await this.finishTransactions()
    for (const { name, program } of this.seats) {
      const end = await program.stop('SIGTERM', 30_000)
      if (end !== '0') throw new Error(`${name} ended with ${end}: ${program.err}`)
    }
    // Nobody is alive who holds a lease.
    await this.freeRows()
    const heir = this.seats[0]
    if (heir === undefined) throw new Error('no seat')
    this.launch(heir, { workers: 0, driver: 'pg', outbox: afterwards })
    await heir.program.ready(30_000)
    return this.#drain(msMax)
  }

  async #drain(msMax: number): Promise<string> {
    const deadline = Date.now() + msMax
    for (;;) {
      const left = await this.unsettled().catch((error: Error) => error.message)
      this.ledger.read()
      const missing = this.ledger.missing(await this.orders())
      if (left === '' && missing === 0) return ''
      if (Date.now() > deadline) return left
      await elapse(250)
    }
  }

  /** Halves, markers and outbox rows that wait for somebody; '' when nothing does. */
  async unsettled(): Promise<string> {
    const halves = await this.halves()
    const left = await countLeft(this.#pool)
    // A stock broker cannot be asked, so that markers of the dead stay for three days.
    const total = this.ownsBroker ? left.total : left.total - left.markers
    return halves + total === 0 ? '' : `${halves} halves, ${left.text}`
  }

  /** Half messages of this run that a stock broker gave up. */
  async parked(): Promise<number> {
    return this.#admin === undefined ? 0 : parkedByStockBrokers(this.#admin, this.#prefix)
  }

  orders(): Promise<CommittedOrder[]> {
    return committedOrders(this.#pool)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const programs = [this.#broker, this.#reader, ...this.seats.map(({ program }) => program)]
    await Promise.all(programs.map((program) => program?.stop('SIGKILL')))
    for (const { postgres, broker } of this.seats) {
      await postgres[Symbol.asyncDispose]()
      await broker[Symbol.asyncDispose]()
    }
    await this.#admin?.close()
    await this.#pool?.end()
    await this.#front?.[Symbol.asyncDispose]()
    if (this.postgres !== this.#cluster) await this.postgres?.stop()
    await this.#cluster?.stop()
    if (process.env['CHAOS_KEEP'] === undefined) this.#folder.remove()
  }

  #up(): ChildProgram {
    // Asked soon enough that slow transactions meet the check-back.
    const set = { flush: 'sync', transactionTimeoutMs: 500, transactionCheckIntervalMs: 1_000, ...this.#options.broker }
    return tandemUp({ dataDir: join(this.#folder.path, 'data'), port: this.#brokerPort, set })
  }
}
