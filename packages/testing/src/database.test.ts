import pg from 'pg'
import { expect, test } from 'vitest'
import { startTestDatabase } from './database.ts'

async function query<T>(url: string, sql: string): Promise<T[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(sql)).rows as T[]
  } finally {
    await client.end()
  }
}

test('two test databases do not see one another', async () => {
  await using a = await startTestDatabase()
  await using b = await startTestDatabase()
  await query(a.url, 'create table only_in_a (x int)')
  const found = await query<{ name: string | null }>(b.url, "select to_regclass('only_in_a')::text as name")
  expect(found[0]?.name).toBeNull()
})

test('preparation runs once and every database of that template has its result', async () => {
  let runs = 0
  const prepare = async (url: string) => {
    runs += 1
    await query(url, 'create table prepared (x int)')
  }
  await using a = await startTestDatabase({ prepare })
  await using b = await startTestDatabase({ prepare })
  for (const { url } of [a, b]) expect(await query(url, 'select * from prepared')).toEqual([])
  expect(runs).toBe(1)
})

test('outbox tables of a template get a domain of their own in every database made of it', async () => {
  const here = '(select oid from pg_database where datname = current_database())'
  const prepare = async (url: string) => {
    await query(
      url,
      `create schema shop; create table shop.domain (domain_id uuid, database_oid oid);
      insert into shop.domain values (gen_random_uuid(), ${here})`,
    )
  }
  await using a = await startTestDatabase({ prepare })
  await using b = await startTestDatabase({ prepare })
  const found = [a, b].map(({ url }) => query(url, `select domain_id, database_oid = ${here} as home from shop.domain`))
  const [inA, inB] = (await Promise.all(found)).flat() as { domain_id: string; home: boolean }[]
  expect([inA?.home, inB?.home]).toEqual([true, true])
  expect(inA?.domain_id).not.toBe(inB?.domain_id)
})

test('closing drops the database even while somebody is connected', async () => {
  const db = await startTestDatabase()
  const client = new pg.Client({ connectionString: db.url })
  client.on('error', () => {})
  await client.connect()
  await db.close()
  await db.close()
  await expect(query(db.url, 'select 1')).rejects.toThrow(/does not exist/)
})
