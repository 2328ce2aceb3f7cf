import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Admin, TandemError } from '@tandemmq/client'
import { startTestDatabase, type TestDatabase } from '@tandemmq/testing'
import createKnex from 'knex'
import type { Knex } from 'knex'
import * as topics from '../shared/topics.ts'
import { Child } from './child.ts'
import { freePorts } from './free-ports.ts'
import { inputFile } from './input.ts'
import type { DemoOptions } from './options.ts'
import { prepareDatabase } from './schema.ts'
import { TraceCollector } from './trace-collector.ts'

/** `orders-2` is a second process of orders: it takes orders over HTTP and imports none. */
export const services = ['orders', 'stock', 'billing', 'orders-2'] as const
export type Service = (typeof services)[number]

/** Where a reader of the README looks for them. */
const FIRST_PORT = 3_000
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
  readonly traces = new TraceCollector()
  nameServer = ''
  /** Half messages can be listed, transactions keep the order of their keys: not so on Apache RocketMQ. */
  isTandemMQ = true
  /** Of the services; none: any free one. */
  #ports: number[] = []
  #traceEndpoint = ''
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

  get paymentTimeMs(): number {
    return this.options.stay ? 20_000 : 3_000
  }

  url(service: Service): string {
    return this.children.get(service)?.url ?? ''
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
    for (const { name } of Object.values(topics)) await this.#admin.createTopic(name)
    this.isTandemMQ = this.ownsBroker || (await this.#knowsHeldMessages())
    this.#traceEndpoint = await this.traces.start()
    if (this.options.stay || this.options.keep) this.#ports = await freePorts(services.length, FIRST_PORT)
  }

  /** Ports of its name servers and brokers. */
  async brokerPorts(): Promise<number[]> {
    const brokers = (await this.admin.brokers()).flatMap(({ address }) => address ?? [])
    return [...this.nameServer.split(/[;,]/), ...brokers].map((address) => Number(address.split(':').at(-1)))
  }

  startService(service: Service, environment: Record<string, string> = {}): Child {
    const program = service === 'orders-2' ? 'orders' : service
    return this.#start(service, new URL(`../${program}/main.js`, import.meta.url), {
      environment: {
        PORT: String(this.#ports[services.indexOf(service)] ?? 0),
        DATABASE_URL: this.databaseUrl,
        NAME_SERVERS: this.nameServer,
        PAYMENT_TIME_MS: String(this.paymentTimeMs),
        OTEL_SERVICE_NAME: service,
        OTEL_EXPORTER_OTLP_ENDPOINT: this.#traceEndpoint,
        OTEL_BSP_SCHEDULE_DELAY: '300',
        ...environment,
      },
    })
  }

  /** The environment of the process that imports orders.csv. */
  get ordersToImport(): Record<string, string> {
    return {
      ORDERS_FILE: fileURLToPath(inputFile(this.options, 'orders.csv')),
      ORDERS_MAX: String(this.options.orders),
      ORDERS_PER_SECOND: String(this.options.perSecond),
    }
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
    const running = [...this.children.values()].filter(({ name }) => name !== 'broker')
    await Promise.all(running.map((service) => service.stop()))
    await this.traces.close()
    await this.#admin?.close()
    await this.children.get('broker')?.stop()
    await this.#knex?.destroy()
    await this.#database?.close().catch(() => {})
    rmSync(this.folder, { recursive: true, force: true })
  }

  async #knowsHeldMessages(): Promise<boolean> {
    try {
      await this.admin.heldGroups(1)
      return true
    } catch (error) {
      if (error instanceof TandemError && error.code === 'REQUEST_NOT_SUPPORTED') return false
      throw error
    }
  }

  #start(name: string, program: string | URL, options: Partial<ConstructorParameters<typeof Child>[0]>): Child {
    const child = new Child({ name, program, logFile: join(this.folder, `${name}.log`), ...options })
    this.children.set(name, child)
    return child
  }
}
