import type pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { databaseWithTables } from '../database/database-test-kit.ts'
import { newTransactionId } from '../database/transaction-id.ts'
import { systemClock } from '../foundation.ts'
import { Schema } from '../schema/schema.ts'
import { silentLogger } from '../silent-logger.ts'
import { Resolver } from './resolver.ts'

const schema = new Schema('tandem')
const newId = (): string => newTransactionId(systemClock)

let db: Awaited<ReturnType<typeof databaseWithTables>>
let pool: pg.Pool
let domainId: string
beforeEach(async () => {
  db = await databaseWithTables()
  pool = db.pool
  domainId = (await pool.query('select domain_id from tandem.domain')).rows[0].domain_id
})
afterEach(() => db.close())

const resolver = (domain = domainId): Resolver =>
  new Resolver({ pool, schema, domainId: domain, clock: systemClock, logger: silentLogger })
const state = async (id: string, domain?: string): Promise<string> => (await resolver(domain).check(id)).state

test('an absent key is R, and its marker can never be inserted any more', async () => {
  const id = newId()
  expect(await state(id)).toBe('R')
  await expect(pool.query(`insert into tandem.tx (tx_id) values ('${id}')`)).rejects.toMatchObject({ code: '23505' })
  expect(await state(id)).toBe('R')
})

test('a key of an open transaction is running; committed it is C, rolled back R', async () => {
  for (const [end, expected] of [
    ['commit', 'C'],
    ['rollback', 'R'],
  ] as const) {
    const id = newId()
    const client = await pool.connect()
    await client.query(`begin; insert into tandem.tx (tx_id) values ('${id}')`)
    expect(await state(id)).toBe('running')
    await client.query(end)
    client.release()
    expect(await state(id)).toBe(expected)
  }
})

test('one locked key does not keep the others of a batch from their answers', async () => {
  const [locked, committed, absent] = [newId(), newId(), newId()]
  await pool.query(`insert into tandem.tx (tx_id) values ('${committed}')`)
  const client = await pool.connect()
  await client.query(`begin; insert into tandem.tx (tx_id) values ('${locked}')`)
  const asked = resolver()
  const verdicts = await Promise.all([locked, committed, absent].map((id) => asked.check(id)))
  expect(verdicts.map((verdict) => verdict.state)).toEqual(['running', 'C', 'R'])
  await client.query('rollback')
  client.release()
})

test('hundreds of keys asked about together are one statement; one that is locked costs a few more, not hundreds', async () => {
  const ids = Array.from({ length: 500 }, newId)
  const statements = async (): Promise<number> => {
    let count = 0
    const counting = Object.create(pool) as pg.Pool
    counting.connect = (async () => {
      const client = await pool.connect()
      const query = client.query.bind(client) as (text: string) => Promise<unknown>
      return new Proxy(client, {
        get(target, name) {
          if (name === 'query') {
            return (text: string) => {
              if (text.includes('insert into')) count++
              return query(text)
            }
          }
          const value = Reflect.get(target, name) as unknown
          return typeof value === 'function' ? (value.bind(target) as unknown) : value
        },
      })
    }) as pg.Pool['connect']
    const asked = new Resolver({
      pool: counting,
      schema,
      domainId,
      clock: systemClock,
      logger: silentLogger,
      deadlineMs: 20_000,
    })
    const verdicts = await Promise.all(ids.map((id) => asked.check(id)))
    expect(verdicts.filter(({ state: told }) => told === 'R')).toHaveLength(ids.length - locked.size)
    expect(ids.filter((_id, n) => verdicts[n]?.state === 'running')).toEqual([...locked])
    return count
  }
  const locked = new Set<string>()
  const client = await pool.connect()
  locked.add(ids[123]!)
  await client.query(`begin; insert into tandem.tx (tx_id) values ('${ids[123]}')`)
  expect(await statements()).toBeLessThanOrEqual(1 + 2 * Math.ceil(Math.log2(500)))
  await client.query('rollback')
  client.release()
  locked.clear()
  expect(await statements()).toBe(1)
})

test('another domain is not answered and leaves no tombstone', async () => {
  const id = newId()
  expect(await state(id, newId())).toBe('notMine')
  expect(await state('robert; drop table tandem.tx')).toBe('notMine')
  expect((await pool.query('select * from tandem.tx')).rows).toEqual([])
})

test('a server that cannot write gives no answer', async () => {
  await pool.query('alter table tandem.tx rename to tx_gone')
  expect(await state(newId())).toBe('unavailable')
})

test('asks that arrive together are one transaction', async () => {
  const ids = Array.from({ length: 1_500 }, newId)
  const asked = resolver()
  const verdicts = await Promise.all(ids.map((id) => asked.check(id)))
  expect(new Set(verdicts.map((verdict) => verdict.state))).toEqual(new Set(['R']))
  const { rows } = await pool.query('select count(distinct xid)::int as transactions from tandem.tx')
  expect(rows).toEqual([{ transactions: 1 }])
})
