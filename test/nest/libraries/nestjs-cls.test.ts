import { Inject, Injectable, Logger, Module } from '@nestjs/common'
import type { INestApplication } from '@nestjs/common'
import { ClsPluginTransactional, Propagation, Transactional, TransactionHost } from '@nestjs-cls/transactional'
import type { TransactionalAdapter } from '@nestjs-cls/transactional'
import { Test } from '@nestjs/testing'
import { OnMessage, TandemModule, TandemTemplate } from '@tandemmq/nestjs'
import { Outbox } from '@tandemmq/outbox'
import { startTestDatabase, TestBroker } from '@tandemmq/testing'
import type { TestDatabase } from '@tandemmq/testing'
import { useTestBroker } from '@tandemmq/testing/nest'
import createKnex from 'knex'
import type { Knex } from 'knex'
import { ClsModule } from 'nestjs-cls'
import { afterAll, beforeAll, expect, test } from 'vitest'

const KNEX = Symbol('KNEX')

/** What @nestjs-cls/transactional-adapter-knex is. */
class KnexAdapter implements TransactionalAdapter<Knex, Knex, Knex.TransactionConfig> {
  readonly connectionToken = KNEX

  optionsFactory = (knex: Knex) => {
    const within =
      (from: Knex) =>
      (options: Knex.TransactionConfig, work: () => Promise<unknown>, setTx: (trx?: Knex) => void): Promise<unknown> =>
        from.transaction((trx) => {
          setTx(trx)
          return work()
        }, options)
    return {
      wrapWithTransaction: within(knex),
      wrapWithNestedTransaction: (
        options: Knex.TransactionConfig,
        work: () => Promise<unknown>,
        setTx: (trx?: Knex) => void,
        outer: Knex,
      ) => within(outer)(options, work, setTx),
      getFallbackInstance: () => knex,
    }
  }
}

const refusal = new Error('refused')

@Injectable()
class Orders {
  constructor(
    private readonly host: TransactionHost<KnexAdapter>,
    @Inject(TandemTemplate) private readonly tandem: TandemTemplate,
  ) {}

  @Transactional()
  async place(id: string, fails = false): Promise<void> {
    await this.book(id)
    if (fails) throw refusal
  }

  @Transactional()
  async placeWithExtras(id: string, ...extras: [(id: string) => Promise<void>, string][]): Promise<void> {
    await this.book(id)
    for (const [extra, name] of extras) await extra.call(this, name).catch(() => {})
  }

  @Transactional(Propagation.Nested)
  async nested(id: string): Promise<void> {
    await this.book(id)
    if (id.endsWith('!')) throw refusal
  }

  @Transactional(Propagation.RequiresNew)
  async apart(id: string): Promise<void> {
    await this.book(id)
    if (id.endsWith('!')) throw refusal
  }

  @OnMessage({ topic: 'commands', group: 'commands' })
  @Transactional()
  async command(id: string): Promise<void> {
    await this.book(id)
  }

  private async book(id: string): Promise<void> {
    await this.host.tx('orders').insert({ id })
    this.tandem.enqueue({ topic: 'orders', body: id })
  }
}

let database: TestDatabase
let knex: Knex
let app: INestApplication
let orders: Orders
let broker: TestBroker

beforeAll(async () => {
  Logger.overrideLogger(false)
  database = await startTestDatabase()
  knex = createKnex({ client: 'pg', connection: database.url })
  await new Outbox({ database: knex, nameServers: 'nowhere:1', group: 'orders' }).migrate()
  await knex.schema.createTable('orders', (table) => table.string('id').primary())
  @Module({ providers: [{ provide: KNEX, useFactory: () => knex }], exports: [KNEX] })
  class DatabaseModule {}
  @Module({
    imports: [
      ClsModule.forRoot({
        global: true,
        plugins: [new ClsPluginTransactional({ imports: [DatabaseModule], adapter: new KnexAdapter() })],
      }),
      DatabaseModule,
      TandemModule.forRoot({
        ...{ nameServers: 'production:9876', group: 'orders' },
        outbox: { knex: KNEX, currentTransaction: (get) => get(TransactionHost).tx },
      }),
    ],
    providers: [Orders],
  })
  class AppModule {}
  const compiled = await useTestBroker(Test.createTestingModule({ imports: [AppModule] })).compile()
  app = compiled.createNestApplication({ logger: false })
  await app.init()
  orders = app.get(Orders)
  broker = app.get(TestBroker)
})

afterAll(async () => {
  await app?.close()
  await knex?.destroy()
  await database?.close()
})

/** Rows and messages whose id begins so. */
async function booked(start: string): Promise<{ rows: string[]; messages: unknown[] }> {
  await broker.settled()
  const rows: { id: string }[] = await knex('orders').where('id', 'like', `${start}%`).orderBy('id')
  const bodies = broker.sent('orders').map(({ body }) => body as string)
  return { rows: rows.map(({ id }) => id), messages: bodies.filter((id) => id.startsWith(start)).toSorted() }
}

test('a message of a @Transactional method is announced when it commits, and falls with it', async () => {
  await orders.place('a1')
  await expect(orders.place('a2', true)).rejects.toBe(refusal)
  expect(await booked('a')).toEqual({ rows: ['a1'], messages: ['a1'] })
})

test('a nested @Transactional method that fails takes its own messages back and leaves those around it', async () => {
  await orders.placeWithExtras('b1', [orders.nested, 'b2'], [orders.nested, 'b3!'])
  expect(await booked('b')).toEqual({ rows: ['b1', 'b2'], messages: ['b1', 'b2'] })
})

test('a @Transactional method with RequiresNew is announced on its own', async () => {
  await orders.placeWithExtras('c1', [orders.apart, 'c2'], [orders.apart, 'c3!'])
  expect(await booked('c')).toEqual({ rows: ['c1', 'c2'], messages: ['c1', 'c2'] })
})

test('a listener may be @Transactional itself', async () => {
  await broker.deliver('commands', 'd1')
  expect(await booked('d')).toEqual({ rows: ['d1'], messages: ['d1'] })
})

test('outside of a @Transactional method enqueue is refused', () => {
  const tandem = app.get(TandemTemplate)
  expect(() => tandem.enqueue({ topic: 'orders', body: 'e1' })).toThrow(
    expect.objectContaining({ code: 'NO_TRANSACTION' }),
  )
})
