import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Admin } from '@tandemmq/client'
import { startTestDatabase, type TestDatabase } from '@tandemmq/testing'
import createKnex from 'knex'
import type { Knex } from 'knex'
import { Child } from './child.ts'
import { inputFile } from './input.ts'
import type { DemoOptions } from './options.ts'
import { prepareDatabase } from './schema.ts'

export type Service = 'orders' | 'stock' | 'billing'

const TOPICS = ['orders', 'payment-deadlines']
// The package's command, found the way npx finds it: beside the package's entry.
const tandem = join(dirname(createRequire(import.meta.url).resolve('tandemmq')), '..', 'bin', 'tandem.js')

/** Postgres, broker and services of one run, and the way to end them all. */
export class World {
  readonly options: DemoOptions
  readonly startedAt = new Date()
  /** Aborted when the user wants to stop. */
  readonly signal: AbortSignal
  readonly folder = mkdtempSync(join(tmpdir(), 'tandemmq-demo-'))
  readonly children = new Map<string, Child>()
  nameServer = ''
  #database: TestDatabase | undefined
  #knex: Knex | undefined
  #admin: Admin | undefined

  constructor(options: DemoOptions, signal: AbortSignal) {
    this.options = options
    this.signal = signal
  }

  get knex(): Knex {
    if (this.#knex === undefined) throw new Error('Postgres is not started')
    return this.#knex
  }

  get admin(): Admin {
    if (this.#admin === undefined) throw new Error('the broker is not started')
    return this.#admin
  }

  get databaseUrl(): string {
    return this.#database?.url ?? ''
  }

  get ownsBroker(): boolean {
    return this.options.nameServer === undefined
  }

  async startDatabase(): Promise<void> {
    this.#database = await startTestDatabase()
    this.signal.throwIfAborted()
    this.#knex = createKnex({ client: 'pg', connection: this.#database.url, pool: { min: 0, max: 4 } })
  }

  /** The same directory and, once it has one, the same port: a broker started again is the same broker. */
  async startBroker(): Promise<void> {
    const [host, port] = this.nameServer === '' ? ['127.0.0.1', '0'] : this.nameServer.split(':')
    const args = ['up', '--host', host ?? '', '--port', port ?? '', '--data-dir', join(this.folder, 'broker')]
    const broker = this.#start('broker', tandem, {
      // A half message is asked about after two seconds instead of six: long enough to see it wait, and nobody wants to watch six.
      args: [...args, '--set', 'transactionTimeoutMs=2000', '--set', 'transactionCheckIntervalMs=2000'],
      readyLine: /ready on (\S+:\d+)/,
    })
    const line = await broker.ready()
    this.nameServer = line?.[1] ?? ''
  }

  /** Tables and topics, as an operator would create them before the first start. */
  async prepare(): Promise<void> {
    this.nameServer ||= this.options.nameServer ?? ''
    await prepareDatabase(this.knex, this.nameServer, this.options)
    this.#admin = new Admin({ nameServers: this.nameServer })
    await this.#admin.start()
    for (const topic of TOPICS) await this.#admin.createTopic(topic)
  }

  startService(service: Service, environment: Record<string, string> = {}): Child {
    return this.#start(service, new URL(`../${service}/main.js`, import.meta.url), {
      environment: {
        DATABASE_URL: this.databaseUrl,
        NAME_SERVERS: this.nameServer,
        ORDERS_FILE: fileURLToPath(inputFile(this.options, 'orders.csv')),
        ORDERS_MAX: String(this.options.orders),
        ORDERS_PER_SECOND: String(this.options.perSecond),
        ...environment,
      },
    })
  }

  /**
   * Looks until `look` gives something.
   * @throws {Error} naming `what` after `timeoutMs`, when a process died meanwhile, and when the user stops the demo
   */
  async until<T>(what: string, timeoutMs: number, look: () => Promise<T | undefined | false>): Promise<T> {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      this.signal.throwIfAborted()
      for (const child of this.children.values()) {
        if (child.hasFailed) throw new Error(`${child.name} ended by itself (${await child.ended})`)
      }
      const found = await look()
      if (found !== undefined && found !== false) return found
      if (performance.now() > deadline) throw new Error(`waited ${timeoutMs / 1_000} s for: ${what}`)
      await sleep(100, undefined, { signal: this.signal })
    }
  }

  /** Ends everything, services first, and leaves nothing behind. */
  async close(): Promise<void> {
    const services = [...this.children.values()].filter(({ name }) => name !== 'broker')
    await Promise.all(services.map((service) => service.stop()))
    await this.#admin?.close()
    await this.children.get('broker')?.stop()
    await this.#knex?.destroy()
    await this.#database?.close().catch(() => {})
    rmSync(this.folder, { recursive: true, force: true })
  }

  #start(name: string, program: string | URL, options: Partial<ConstructorParameters<typeof Child>[0]>): Child {
    const child = new Child({ name, program, logFile: join(this.folder, `${name}.log`), ...options })
    this.children.set(name, child)
    return child
  }
}
