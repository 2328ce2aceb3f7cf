import { Inject, Injectable, Logger, Module } from '@nestjs/common'
import { Payload } from '@nestjs/microservices'
import { Test } from '@nestjs/testing'
import type { TestingModule } from '@nestjs/testing'
import { Admin } from '@tandemmq/client'
import { Outbox } from '@tandemmq/outbox'
import { startTestDatabase, TestBroker } from '@tandemmq/testing'
import type { TestDatabase } from '@tandemmq/testing'
import { useTestBroker } from '@tandemmq/testing/nest'
import createKnex from 'knex'
import type { Knex } from 'knex'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { OnMessage, TandemListeners, TandemModule, TandemTemplate } from '../index.ts'

const silent = { log: () => {}, warn: () => {}, error: () => {} }
let database: TestDatabase
let knex: Knex
let app: TestingModule
let broker: TestBroker
let tandem: TandemTemplate
let fail = false

@Injectable()
class Billing {
  constructor(@Inject(TandemTemplate) private readonly template: TandemTemplate) {}

  @OnMessage({ topic: 'orders', group: 'billing', inbox: true })
  async bill(@Payload('id') id: string): Promise<void> {
    await this.template.currentTransaction()?.('invoices').insert({ order: id })
    if (fail) throw new Error('after the insert')
  }

  @OnMessage({ topic: 'questions', group: 'curious', inbox: true })
  async answer(@Payload('id') id: string): Promise<void> {
    await this.template.currentTransaction()?.('invoices').insert({ order: id })
    this.template.enqueue({ topic: 'answers', keys: [id], body: { id } })
    await this.template.transaction(async (trx) => {
      expect(trx).toBe(this.template.currentTransaction())
    })
    if (fail) throw new Error('after the enqueue')
  }
}

@Module({ providers: [{ provide: 'KNEX', useFactory: () => knex }], exports: ['KNEX'] })
class DatabaseModule {}

@Module({
  imports: [
    TandemModule.forRootAsync({
      imports: [DatabaseModule],
      inject: ['KNEX'],
      useFactory: (given: Knex) => ({ nameServers: 'production:9876', group: 'orders', outbox: { database: given } }),
    }),
  ],
  providers: [Billing],
})
class AppModule {}

beforeAll(async () => {
  database = await startTestDatabase()
  knex = createKnex({ client: 'pg', connection: database.url })
  await new Outbox({ database: knex, nameServers: 'nowhere:1', group: 'orders' }).migrate()
  await knex.schema.createTable('orders', (table) => table.string('id').primary())
  await knex.schema.createTable('invoices', (table) => table.string('order'))
  const builder = Test.createTestingModule({ imports: [AppModule] }).setLogger(silent)
  app = await useTestBroker(builder, { clock: 'virtual' }).compile()
  await app.init()
  Logger.overrideLogger(false)
  broker = app.get(TestBroker)
  tandem = app.get(TandemTemplate)
})

afterAll(async () => {
  await app?.close()
  await knex?.destroy()
  await database?.close()
})

beforeEach(() => {
  fail = false
})

/** Has every message of the topic delivered to the group again, as after a process that died before it committed its position. */
async function repeat(topic: string, group: string): Promise<void> {
  const admin = new Admin({ nameServers: broker.address })
  await admin.start()
  const before = app.get(TandemListeners)
  await before.pause(group)
  await admin.resetOffset(group, topic, 'first')
  await before.resume(group)
  await broker.settled()
  await admin.close()
}

const announced = (topic: string) => broker.sent(topic).map(({ body }) => body)

test('a committed transaction announces what enqueue recorded, through awaits and helpers', async () => {
  const announce = async (id: string): Promise<void> => {
    await Promise.resolve()
    tandem.enqueue({ topic: 'placed', keys: [id], body: { id } })
  }
  const returned = await tandem.transaction(async (trx) => {
    expect(tandem.currentTransaction()).toBe(trx)
    await trx('orders').insert({ id: 'o-1' })
    await announce('o-1')
    return 'placed'
  })
  await broker.settled()
  expect(returned).toBe('placed')
  expect(announced('placed')).toEqual([{ id: 'o-1' }])
  expect(tandem.currentTransaction()).toBeUndefined()
})

test('a transaction that throws leaves no row and no message', async () => {
  const refusal = new Error('over the limit')
  const placing = tandem.transaction(async (trx) => {
    await trx('orders').insert({ id: 'o-2' })
    tandem.enqueue({ topic: 'refused', body: { id: 'o-2' } })
    throw refusal
  })
  await expect(placing).rejects.toBe(refusal)
  await broker.settled()
  expect(announced('refused')).toEqual([])
  expect(await knex('orders').where({ id: 'o-2' })).toEqual([])
})

test('a transaction inside a transaction joins it and falls with it', async () => {
  const placing = tandem.transaction(async (outer) => {
    await tandem.transaction(async (inner) => {
      expect(inner).toBe(outer)
      await inner('orders').insert({ id: 'o-3' })
      tandem.enqueue({ topic: 'joined', body: { id: 'o-3' } })
    })
    throw new Error('the outer one fails')
  })
  await expect(placing).rejects.toThrow('the outer one fails')
  await broker.settled()
  expect(announced('joined')).toEqual([])
  expect(await knex('orders').where({ id: 'o-3' })).toEqual([])
})

test('two transactions at a time do not see one another', async () => {
  const place = (id: string) =>
    tandem.transaction(async (trx) => {
      await trx('orders').insert({ id })
      await new Promise((resolve) => setImmediate(resolve))
      tandem.enqueue({ topic: `of-${id}`, body: id })
      expect(tandem.currentTransaction()).toBe(trx)
    })
  await Promise.all([place('o-4'), place('o-5')])
  await broker.settled()
  expect([announced('of-o-4'), announced('of-o-5')]).toEqual([['o-4'], ['o-5']])
})

test('a failed statement that is swallowed does not become an announcement', async () => {
  const placing = tandem.transaction(async (trx) => {
    tandem.enqueue({ topic: 'swallowed', body: 'x' })
    await trx.raw('select 1/0').catch(() => {})
  })
  await expect(placing).rejects.toMatchObject({ code: expect.any(String) })
  await broker.settled()
  expect(announced('swallowed')).toEqual([])
})

test('a listener with an inbox takes its effect back when it fails, and has it once when the repeat succeeds', async () => {
  fail = true
  await broker.deliver('orders', { id: 'i-1' })
  await broker.settled()
  expect(await knex('invoices').where({ order: 'i-1' })).toEqual([])
  fail = false
  await broker.advance(10_000)
  await broker.settled()
  expect(await knex('invoices').where({ order: 'i-1' })).toHaveLength(1)
})

test('effect, inbox row and message of a listener are one transaction: all of a failure are undone, a repeat adds nothing', async () => {
  fail = true
  await broker.deliver('questions', { id: 'q-1' })
  await broker.settled()
  expect(announced('answers')).toEqual([])
  expect(await knex('invoices').where({ order: 'q-1' })).toEqual([])
  fail = false
  await broker.advance(10_000)
  await broker.settled()
  expect(announced('answers')).toEqual([{ id: 'q-1' }])
  expect(await knex('invoices').where({ order: 'q-1' })).toHaveLength(1)
  await repeat('questions', 'curious')
  expect(announced('answers')).toEqual([{ id: 'q-1' }])
  expect(await knex('invoices').where({ order: 'q-1' })).toHaveLength(1)
})

test('enqueue joins a transaction that the application has begun itself, and its commit rejects when it failed', async () => {
  const trx = await knex.transaction()
  await trx('orders').insert({ id: 'own-1' })
  tandem.enqueue({ topic: 'own', body: 'own-1' }, trx)
  await trx.commit()
  const wrong = await knex.transaction()
  tandem.enqueue({ topic: 'own', body: 'own-2' }, wrong)
  await wrong.raw('select 1/0').catch(() => {})
  await expect(wrong.commit()).rejects.toMatchObject({ code: 'TRANSACTION_ROLLED_BACK' })
  await expect.poll(() => announced('own')).toEqual(['own-1'])
  expect(() => tandem.enqueue({ topic: 'own', body: 'x' }, {} as never)).toThrow(/OPTION_INVALID/)
})
