import { startTestDatabase } from '@tandemmq/testing/database'
import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Driver, drivers, prepare, World } from '../../../packages/outbox/src/outbox-world-test-kit.ts'
import { Outbox } from '../../../packages/outbox/src/outbox.ts'

// Line 106 of the catalogue (README.md beside this file).

let world: World
beforeEach(async () => {
  world = new World(await startTestDatabase({ prepare }), drivers['pg'] as Driver)
})
afterEach(() => world.close())

test('C.3-106: messages no table or broker could hold are refused at send; odd ones arrive as they are, both ways', async () => {
  const outbox = await world.outbox()
  const send = (message: object): Promise<void> =>
    outbox.transaction((_trx, messages) => messages.send({ topic: 'orders', body: 'x', ...message }))
  for (const away of [false, true]) {
    world.broker.away = away
    for (const topic of [null, undefined, '', 7, 'a\0b']) await expect(send({ topic })).rejects.toHaveProperty('code')
    await expect(send({ body: Buffer.alloc(5 << 20) })).rejects.toMatchObject({ code: 'MESSAGE_TOO_LARGE' })
    await expect(send({ body: undefined })).rejects.toMatchObject({ code: 'MESSAGE_ILLEGAL' })
    for (const message of [
      { body: { text: 'lone \ud800 surrogate', nul: 'a\u0000b' } },
      { body: 'x', properties: { odd: 'a\u0000b' } },
      { body: 'x', keys: ['\ud800'] },
    ])
      await send(message)
  }
  world.broker.away = false
  await expect.poll(() => world.broker.delivered.length, { timeout: 15_000 }).toBe(6)
  const bodies = world.broker.delivered.map(({ body }) => String(body))
  expect(
    bodies.filter((body) => body === JSON.stringify({ text: 'lone \ud800 surrogate', nul: 'a\u0000b' })),
  ).toHaveLength(2)
})

test('C.3-106: a row that somebody damaged holds up no other one, and is not lost', async () => {
  const outbox = await world.outbox({ relayIntervalMs: 60_000 })
  world.broker.away = true
  const send = (body: string): Promise<void> =>
    outbox.transaction((_trx, messages) => messages.send({ topic: 'orders', body, properties: { n: '1' } }))
  for (const body of ['damaged', 'whole', 'late']) await send(body)
  await world.rows(`update tandem.outbox set headers = '\\x7b' where body = 'damaged'`)
  await world.rows(`update tandem.outbox set attempts = 32767 where body = 'late'`)
  await expect(world.rows('update tandem.outbox set topic = null')).rejects.toMatchObject({ code: '23502' })
  await outbox.close()
  await world.rows('update tandem.outbox set lease_until = null')
  world.broker.away = false
  // One that knows nothing of the outage claims them together.
  await world.outbox()
  await expect.poll(() => world.delivered(), { timeout: 15_000 }).toEqual(['late', 'whole'])
  const kept = () => world.rows('select body from tandem.outbox union all select body from tandem.outbox_dead')
  await expect.poll(kept).toEqual([{ body: Buffer.from('damaged') }])
  await world.rows('delete from tandem.outbox')
})

test('C.3-106: a schema of an older version and a role without its rights are refused at start, by name', async () => {
  const pool = new pg.Pool({ connectionString: world.db.url, max: 1 })
  pool.on('error', () => {})
  const start = (database: pg.Pool): Promise<void> =>
    new Outbox({ database, group: 'orders', producer: world.broker.sender() }).start()
  const role = `nobody_${world.db.name}`
  await world.rows(`create role ${role} login password 'secret'; grant usage on schema tandem to ${role};
    grant select, insert, update on all tables in schema tandem to ${role}`)
  const url = new URL(world.db.url)
  url.username = role
  url.password = 'secret'
  const poor = new pg.Pool({ connectionString: url.href, max: 1 })
  poor.on('error', () => {})
  await expect(start(poor)).rejects.toMatchObject({ code: 'NO_PERMISSION', message: expect.stringContaining('DELETE') })
  await poor.end()
  await world.rows('delete from tandem.migration')
  await expect(start(pool)).rejects.toMatchObject({ code: 'SCHEMA_MISSING' })
  await pool.end()
  await world.rows(`drop owned by ${role}; drop role ${role}`)
})
