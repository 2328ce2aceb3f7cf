// The outbox under TypeORM, MikroORM and Prisma (no native engine): npm fetches them into the cache folder (../toolchain.mjs).
// node test/interop/orms/run.mjs [typeorm,mikroorm,prisma]; exits 1 when a check fails.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { Outbox } from '@tandemmq/outbox'
import { startTestBroker, startTestDatabase } from '@tandemmq/testing'
import * as adapters from './adapters.mjs'

const here = fileURLToPath(new URL('.', import.meta.url))
const wanted = ['package.json', 'prisma/schema.prisma'].map((file) => readFileSync(join(here, file))).join('')
const cache =
  process.env.TANDEMMQ_INTEROP_HOME ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'tandemmq-interop')
const folder = join(cache, `orms-${createHash('sha256').update(wanted).digest('hex').slice(0, 12)}`)

function run(command, args, env = {}) {
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, ...env },
  })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed\n${stdout}${stderr}`)
}

function install() {
  const done = join(folder, 'installed')
  if (existsSync(done)) return
  mkdirSync(folder, { recursive: true })
  for (const file of ['package.json', 'prisma']) cpSync(join(here, file), join(folder, file), { recursive: true })
  run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund'])
  // Generating needs no engine, but looks for one to download: any program will do.
  run('npx', ['prisma', 'generate'], { PRISMA_SCHEMA_ENGINE_BINARY: process.execPath })
  writeFileSync(done, '')
}

const resolver = createRequire(join(folder, 'package.json'))
const from = async (name) => {
  const found = await import(pathToFileURL(resolver.resolve(name)).href)
  return found.default !== undefined && Object.keys(found).length <= 2 ? { ...found.default, ...found } : found
}

async function prepare(url) {
  const { default: pg } = await import('pg')
  const pool = new pg.Pool({ connectionString: url })
  const outbox = new Outbox({ database: pool, group: 'orders', nameServers: '127.0.0.1:1' })
  await outbox.migrate()
  await pool.query('create table orders (id text primary key deferrable initially deferred)')
  await pool.end()
}

async function check(name) {
  const broker = await startTestBroker()
  const db = await startTestDatabase({ prepare })
  const { adapter, query, nested, own, close } = await adapters[name](from, db.url)
  const outbox = new Outbox({ database: adapter, group: 'orders', nameServers: broker.address })
  await outbox.start()
  const insert = (trx, id) => query(trx, `insert into orders values ('${id}')`)
  const place = (id, more = () => {}, options = {}) =>
    outbox.transaction(async (trx, messages) => {
      await insert(trx, id)
      messages.send({ topic: 'orders', body: id })
      await more(trx, messages)
    }, options)

  await place('kept')
  await assert.rejects(
    place('thrown', () => Promise.reject(new Error('above credit'))),
    /above credit/,
  )
  const swallowed = place('swallowed', (trx) => query(trx, 'select 1/0').then(undefined, () => {}))
  await assert.rejects(swallowed, { code: 'TRANSACTION_ROLLED_BACK' })
  await assert.rejects(place('kept'), { code: '23505' })
  const levels = []
  const level = (trx) => query(trx, "select current_setting('transaction_isolation') as level")
  await place('serializable', async (trx) => levels.push(...(await level(trx))), { isolationLevel: 'serializable' })
  assert.equal(levels[0].level, 'serializable')
  if (nested !== undefined) {
    await place('outer', async (trx, messages) => {
      const undone = nested(trx, async (inner) => {
        await insert(inner, 'undone')
        messages.send({ topic: 'orders', body: 'undone' })
        throw new Error('undo')
      })
      await assert.rejects(undone, /undo/)
    })
  }
  if (own !== undefined) {
    await own(async (trx) => {
      await insert(trx, 'joined')
      outbox.join(trx).send({ topic: 'orders', body: 'joined' })
    })
    const wrong = own(async (trx) => {
      outbox.join(trx).send({ topic: 'orders', body: 'wrong' })
      await query(trx, 'select 1/0').catch(() => {})
    })
    await assert.rejects(wrong, { code: 'TRANSACTION_ROLLED_BACK' })
  }
  const expected = ['kept', 'serializable', ...(nested ? ['outer'] : []), ...(own ? ['joined'] : [])].toSorted()
  assert.equal(outbox.stats().committed, expected.length)
  await outbox.close()
  const sent = (await broker.sent('orders')).map((message) => String(message.body))
  assert.deepEqual(sent.toSorted(), expected)
  await close()
  await db.close()
  await broker.close()
}

const names = process.argv[2]?.split(',') ?? Object.keys(adapters)
let failed = 0
install()
for (const name of names) {
  const result = await check(name).then(
    () => 'ok',
    (error) => error,
  )
  if (result !== 'ok') failed++
  console.log(name.padEnd(10), result)
}
process.exit(failed === 0 ? 0 : 1)
