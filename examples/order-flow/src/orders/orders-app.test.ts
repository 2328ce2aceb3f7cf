import type { INestApplication, Type } from '@nestjs/common'
import { Test } from '@nestjs/testing'
import { startTestBroker, startTestDatabase, type TestBroker, type TestDatabase } from '@tandemmq/testing'
import { useTestBroker } from '@tandemmq/testing/nest'
import createKnex from 'knex'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { prepareDatabase } from '../demo/schema.ts'

// Two services in this process, real HTTP, a real broker whose clock stands still, a real Postgres.
let database: TestDatabase
let broker: TestBroker
let orders: INestApplication
let stock: INestApplication

const patiently = { timeout: 15_000 }

beforeAll(async () => {
  broker = await startTestBroker({ clock: 'virtual' })
  database = await startTestDatabase({ prepare })
  vi.stubEnv('DATABASE_URL', database.url)
  vi.stubEnv('NAME_SERVERS', broker.address)
  vi.stubEnv('PORT', '0')
  vi.stubEnv('OTEL_TRACES_SAMPLER', 'always_off')
  // ConfigModule reads the environment when it is imported.
  stock = await boot((await import('../stock/stock-app.module.ts')).StockAppModule)
  orders = await boot((await import('./orders-app.module.ts')).OrdersAppModule)
})

afterAll(async () => {
  await orders?.close()
  await stock?.close()
  await broker?.close()
  await database?.close()
  vi.unstubAllEnvs()
})

async function prepare(url: string): Promise<void> {
  const knex = createKnex({ client: 'pg', connection: url })
  await prepareDatabase(knex, broker.address, { input: undefined })
  await knex.destroy()
}

async function boot(module: Type): Promise<INestApplication> {
  const testing = await useTestBroker(Test.createTestingModule({ imports: [module] }), { broker }).compile()
  const app = testing.createNestApplication({ logger: false })
  await app.listen(0, '127.0.0.1')
  return app
}

async function call(app: INestApplication, method: string, path: string, body?: object) {
  const response = await fetch(`${await app.getUrl()}${path}`, {
    method,
    headers: { 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

const order = (id: string, payment: 'card' | 'transfer', quantity = 2) => ({
  ...{ id, customer: 'C-101', payment },
  items: [{ sku: 'TD-101', quantity }],
})

test('a price that stock changes is what an order costs', async () => {
  expect(await call(orders, 'POST', '/orders', order('T-1', 'card'))).toMatchObject({ status: 409 })
  expect(await call(stock, 'PUT', '/articles/TD-101/price', { cents: 4_990 })).toMatchObject({ status: 200 })
  await expect.poll(async () => (await call(orders, 'GET', '/prices')).body, patiently).toEqual({ 'TD-101': 4_990 })
  const placed = await call(orders, 'POST', '/orders', order('T-1', 'card'))
  expect(placed).toMatchObject({ status: 201, body: { id: 'T-1', amount: '99.80' } })
  await expect.poll(() => broker.sent('orders').map(({ tag }) => tag), patiently).toEqual(['placed', 'paid'])
})

test.each([
  [409, 'not on hand', order('T-2', 'card', 1_000_000), ' of TD-101 on hand'],
  [409, 'there already', order('T-1', 'card'), 'already exists'],
  [409, 'above the credit', order('T-3', 'card', 1_900), 'above the credit'],
  [400, 'of an unknown customer', { ...order('T-4', 'card'), customer: 'C-0' }, 'is not present'],
  [400, 'without items', { ...order('T-5', 'card'), items: [] }, 'items'],
])('%i for an order that is %s, and nobody hears of it', async (status, _what, body, message) => {
  const told = broker.sent('orders').length
  const answer = await call(orders, 'POST', '/orders', body)
  expect(answer.status).toBe(status)
  expect(JSON.stringify(answer.body)).toContain(message)
  await broker.settled()
  expect(broker.sent('orders')).toHaveLength(told)
})

test('an order by transfer is paid once', async () => {
  await call(orders, 'POST', '/orders', order('T-6', 'transfer'))
  expect(await call(orders, 'POST', '/orders/T-6/payment')).toMatchObject({ status: 200, body: { status: 'paid' } })
  expect(await call(orders, 'POST', '/orders/T-6/payment')).toMatchObject({ status: 409 })
})

test('an order by transfer that nobody pays is cancelled when its time is over', async () => {
  await call(orders, 'POST', '/orders', order('T-7', 'transfer'))
  const status = async () => (await call(orders, 'GET', '/orders/T-7')).body['status']
  expect(await status()).toBe('unpaid')
  await expect
    .poll(async () => {
      await broker.advance(3_000)
      return status()
    }, patiently)
    .toBe('cancelled')
})

test('the health page is green with a broker', async () => {
  expect(await call(orders, 'GET', '/health')).toMatchObject({ status: 200, body: { status: 'ok' } })
})
