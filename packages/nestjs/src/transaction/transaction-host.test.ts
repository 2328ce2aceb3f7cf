import { AsyncLocalStorage } from 'node:async_hooks'
import { Controller, Inject, Injectable, Logger, Module } from '@nestjs/common'
import type { INestApplication, INestMicroservice } from '@nestjs/common'
import { Payload } from '@nestjs/microservices'
import { Test } from '@nestjs/testing'
import { Admin } from '@tandemmq/client'
import { Outbox } from '@tandemmq/outbox'
import { startTestDatabase, TestBroker } from '@tandemmq/testing'
import type { TestDatabase } from '@tandemmq/testing'
import { useTestBroker } from '@tandemmq/testing/nest'
import createKnex from 'knex'
import type { Knex } from 'knex'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import {
  connectTandem,
  Idempotent,
  InjectTandem,
  OnMessage,
  TandemEvent,
  TandemContext,
  TandemListeners,
  TandemModule,
  TandemRequest,
  TandemTemplate,
  tandemToken,
} from '../index.ts'
import type { TandemServerEvents } from '../index.ts'

const silent = { log: () => {}, warn: () => {}, error: () => {} }
const KNEX = Symbol('KNEX')
const POOL = 'PG_POOL'

/** As TransactionHost of nestjs-cls: outside of a transaction `tx` is the database itself. */
@Injectable()
class TransactionHost {
  private readonly storage = new AsyncLocalStorage<Knex.Transaction>()

  constructor(@Inject(KNEX) private readonly knex: Knex) {}

  get tx(): Knex {
    return this.storage.getStore() ?? this.knex
  }

  withTransaction<T>(work: () => Promise<T>): Promise<T> {
    return this.knex.transaction((trx) => this.storage.run(trx, work))
  }
}

let fail = false
const handled: string[] = []

@Injectable()
class Listeners {
  constructor(
    @Inject(TandemTemplate) private readonly tandem: TandemTemplate,
    @InjectTandem('pool') private readonly pooled: TandemTemplate<pg.Pool>,
  ) {}

  @Idempotent()
  @OnMessage({ topic: 'questions', group: 'curious' })
  async answer(@Payload('id') id: string): Promise<void> {
    handled.push(id)
    await this.tandem.currentTransaction()?.('notes').insert({ id })
    this.tandem.enqueue({ topic: 'answers', body: { id } })
    if (fail) throw new Error('behind the effect')
  }

  @Idempotent({ connection: 'pool', lockTimeoutMs: 1_000 })
  @OnMessage({ topic: 'pooled', group: 'curious' })
  async pool(@Payload('id') id: string): Promise<void> {
    handled.push(id)
    await this.pooled.currentTransaction()?.query('insert into notes values ($1)', [id])
    this.pooled.enqueue({ topic: 'pooled-answers', body: { id } })
  }
}

@Controller()
class Handlers {
  constructor(@Inject(TandemTemplate) private readonly tandem: TandemTemplate) {}

  @TandemEvent('told', { group: 'tellers' })
  @Idempotent()
  told(@Payload('id') id: string): Promise<void> {
    return this.note(id)
  }

  @Idempotent()
  @TandemRequest('asked', { group: 'askers' })
  async asked(@Payload('id') id: string): Promise<string> {
    await this.note(id)
    return `noted ${id}`
  }

  private async note(id: string): Promise<void> {
    handled.push(id)
    await this.tandem.currentTransaction()?.('notes').insert({ id })
    this.tandem.enqueue({ topic: 'noted', body: { id } })
    if (fail) throw new Error('behind the effect')
  }
}

let database: TestDatabase
let knex: Knex
let pool: pg.Pool
let app: INestApplication
let transport: INestMicroservice
let broker: TestBroker
let tandem: TandemTemplate
let host: TransactionHost

beforeAll(async () => {
  database = await startTestDatabase()
  knex = createKnex({ client: 'pg', connection: database.url })
  pool = new pg.Pool({ connectionString: database.url })
  await new Outbox({ database: knex, nameServers: 'nowhere:1', group: 'orders' }).migrate()
  await knex.schema.createTable('notes', (table) => table.string('id').primary())
  @Module({
    imports: [
      TandemModule.forRoot({
        ...{ nameServers: 'production:9876', group: 'orders' },
        outbox: { knex: KNEX, currentTransaction: (get) => get(TransactionHost).tx },
      }),
      TandemModule.forRoot({ name: 'pool', nameServers: 'production:9876', group: 'pooled', outbox: { pg: POOL } }),
    ],
    providers: [
      { provide: KNEX, useFactory: () => knex },
      { provide: POOL, useFactory: () => pool },
      TransactionHost,
      Listeners,
    ],
    controllers: [Handlers],
  })
  class AppModule {}
  const builder = Test.createTestingModule({ imports: [AppModule] }).setLogger(silent)
  app = (await useTestBroker(builder, { clock: 'virtual' }).compile()).createNestApplication({ logger: false })
  transport = connectTandem(app)
  await app.init()
  await app.startAllMicroservices()
  Logger.overrideLogger(false)
  broker = app.get(TestBroker)
  tandem = app.get(TandemTemplate)
  host = app.get(TransactionHost)
})

afterAll(async () => {
  await app?.close()
  await pool?.end()
  await knex?.destroy()
  await database?.close()
})

beforeEach(() => {
  fail = false
  handled.length = 0
})

const announced = (topic: string) => broker.sent(topic).map(({ body }) => body)
const notes = async (id: string): Promise<number> => (await knex('notes').where({ id })).length

/** Has every message of the topic delivered to the group again, as after a process that died before it committed its position. */
async function repeat(topic: string, group: string, connection?: string): Promise<void> {
  const admin = new Admin({ nameServers: broker.address })
  await admin.start()
  const listeners = app.get(TandemListeners)
  await listeners.pause(group, connection)
  await admin.resetOffset(group, topic, 'first')
  await listeners.resume(group, connection)
  await broker.settled()
  await admin.close()
}

test('enqueue joins the transaction of the application, and is announced when that one commits', async () => {
  await host.withTransaction(async () => {
    await host.tx('notes').insert({ id: 'h-1' })
    tandem.enqueue({ topic: 'hosted', body: 'h-1' })
    expect(tandem.currentTransaction()).toBe(host.tx)
    expect(announced('hosted')).toEqual([])
  })
  await expect.poll(() => announced('hosted')).toEqual(['h-1'])
})

test('what was enqueued in a transaction of the application falls with it', async () => {
  const refusal = new Error('over the limit')
  const placing = host.withTransaction(async () => {
    await host.tx('notes').insert({ id: 'h-2' })
    tandem.enqueue({ topic: 'refused', body: 'h-2' })
    throw refusal
  })
  await expect(placing).rejects.toBe(refusal)
  await broker.settled()
  expect(announced('refused')).toEqual([])
  expect(await notes('h-2')).toBe(0)
})

test('transaction() inside a transaction of the application joins it instead of beginning another', async () => {
  const placing = host.withTransaction(async () => {
    await tandem.transaction(async (trx, messages) => {
      expect(trx).toBe(host.tx)
      messages.send({ topic: 'joined', body: 'j-1' })
    })
    throw new Error('the outer one fails')
  })
  await expect(placing).rejects.toThrow('the outer one fails')
  await broker.settled()
  expect(announced('joined')).toEqual([])
})

test('outside of a transaction the hook hands out the database, and enqueue is refused', () => {
  expect(host.tx).toBe(knex)
  expect(tandem.currentTransaction()).toBeUndefined()
  expect(() => tandem.enqueue({ topic: 'x', body: 'x' })).toThrow(expect.objectContaining({ code: 'NO_TRANSACTION' }))
})

test('a nested transaction of knex belongs to its root: released it waits for the root, rolled back it announces nothing', async () => {
  await host.withTransaction(async () => {
    await host.tx.transaction(async (inner) => {
      await inner('notes').insert({ id: 'n-1' })
      tandem.enqueue({ topic: 'nested', body: 'kept' }, inner)
    })
    const undone = host.tx.transaction(async (inner) => {
      await inner('notes').insert({ id: 'n-2' })
      tandem.enqueue({ topic: 'nested', body: 'undone' }, inner)
      throw new Error('only the inner one')
    })
    await expect(undone).rejects.toThrow('only the inner one')
    await broker.settled({ timeoutMs: 300 }).catch(() => {})
    expect(announced('nested')).toEqual([])
  })
  await expect.poll(() => announced('nested')).toEqual(['kept'])
  expect([await notes('n-1'), await notes('n-2')]).toEqual([1, 0])
})

test('an @Idempotent listener has effect and messages once per message, however often it is delivered', async () => {
  await broker.deliver('questions', { id: 'q-1' })
  await broker.settled()
  await repeat('questions', 'curious')
  await repeat('questions', 'curious')
  expect(handled).toEqual(['q-1'])
  expect(await notes('q-1')).toBe(1)
  expect(announced('answers')).toEqual([{ id: 'q-1' }])
})

test('an @Idempotent listener that fails takes effect, memory and messages back, and the retry has them', async () => {
  fail = true
  await broker.deliver('questions', { id: 'q-2' })
  await broker.settled()
  expect([await notes('q-2'), announced('answers').length]).toEqual([0, 1])
  fail = false
  await broker.advance(10_000)
  await broker.settled()
  expect(handled).toEqual(['q-2', 'q-2'])
  expect(await notes('q-2')).toBe(1)
  expect(announced('answers')).toEqual([{ id: 'q-1' }, { id: 'q-2' }])
})

test('an @Idempotent handler of a controller has effect and messages once per message, however often it is delivered', async () => {
  const consumed: number[] = []
  transport.on<TandemServerEvents>('consumed', (context: TandemContext) => {
    if (context.getTopic() === 'told') consumed.push(1)
  })
  await broker.deliver('told', { id: 't-1' })
  await broker.settled()
  const admin = new Admin({ nameServers: broker.address })
  await admin.start()
  await admin.resetOffset('tellers', 'told', 'first')
  await admin.close()
  await expect.poll(() => consumed.length, { timeout: 10_000 }).toBe(2)
  expect(handled).toEqual(['t-1'])
  expect(await notes('t-1')).toBe(1)
  expect(announced('noted')).toEqual([{ id: 't-1' }])
})

test('an @Idempotent handler that fails takes effect, memory and messages back, and the retry has them', async () => {
  fail = true
  await broker.deliver('told', { id: 't-2' })
  await broker.settled()
  expect([await notes('t-2'), announced('noted').length]).toEqual([0, 1])
  fail = false
  await broker.advance(10_000)
  await broker.settled()
  expect(handled).toEqual(['t-2', 't-2'])
  expect(await notes('t-2')).toBe(1)
  expect(announced('noted')).toEqual([{ id: 't-1' }, { id: 't-2' }])
})

test('an @Idempotent handler answers a request when its transaction has committed, and with why when it has not', async () => {
  expect((await tandem.request({ topic: 'asked', body: { id: 'a-1' } })).text()).toBe('noted a-1')
  expect(await notes('a-1')).toBe(1)
  fail = true
  await expect(tandem.request({ topic: 'asked', body: { id: 'a-2' } })).rejects.toMatchObject({
    code: 'REQUEST_FAILED',
  })
  expect(await notes('a-2')).toBe(0)
  await expect.poll(() => announced('noted').length, { timeout: 10_000 }).toBe(3)
})

test('a pool of pg from the container does the same on a connection of its own', async () => {
  await broker.deliver('pooled', { id: 'p-1' })
  await broker.settled()
  await repeat('pooled', 'curious')
  expect(handled).toEqual(['p-1'])
  expect(await notes('p-1')).toBe(1)
  expect(announced('pooled-answers')).toEqual([{ id: 'p-1' }])
  const pooled: TandemTemplate<pg.Pool> = app.get(tandemToken('pool'))
  await pooled.transaction(async (client) => {
    await client.query("insert into notes values ('p-2')")
    pooled.enqueue({ topic: 'pooled-sent', body: 'p-2' })
  })
  await expect.poll(() => announced('pooled-sent')).toEqual(['p-2'])
})

test.each([
  ['no provider of that token', { knex: 'NOWHERE' }, 'NOWHERE'],
  ['two databases', { knex: KNEX, pg: POOL }, 'one of database'],
])('an outbox with %s fails the boot with OPTION_INVALID', async (_, outbox, words) => {
  const module = await Test.createTestingModule({
    imports: [TandemModule.forRoot({ nameServers: broker.address, group: 'orders', outbox: outbox as never })],
    providers: [
      { provide: KNEX, useValue: knex },
      { provide: POOL, useValue: pool },
    ],
  })
    .setLogger(silent)
    .compile()
  const outcome = expect(module.init()).rejects
  await outcome.toMatchObject({ code: 'OPTION_INVALID', message: expect.stringContaining(words) })
  await module.close().catch(() => {})
})
