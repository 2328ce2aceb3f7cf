import { randomBytes } from 'node:crypto'
import { TandemError } from '@tandemmq/client'
import pg from 'pg'
import { PostgresCluster } from './postgres-cluster.ts'

/** Names a server for this process and its children; set by hand it makes tests use that server (a superuser URL). */
const SERVER_VARIABLE = 'TANDEMMQ_TEST_POSTGRES'

export interface TestDatabaseOptions {
  /**
   * Run once per process on a template database (migrations, reference data); every database started with the same
   * function is a copy of it, which takes about 30 ms however long the preparation took. Outbox tables in it get a domain of
   * their own in every copy: two databases of one domain would answer for each other's transactions.
   */
  prepare?: (url: string) => Promise<void>
}

/** A database of its own on the Postgres server of this process. */
export interface TestDatabase extends AsyncDisposable {
  /** e.g. `postgres://postgres:secret@127.0.0.1:40123/tandem_1f2e3d`; a superuser */
  readonly url: string
  readonly name: string
  /** Drops the database, cutting off who is still connected. Idempotent. The server ends with the process. */
  close(): Promise<void>
}

interface Template {
  readonly name: string
  /** Schemas with the tables of an outbox. */
  readonly outboxes: readonly string[]
}

const templates = new Map<(url: string) => Promise<void>, Promise<Template>>()
let server: Promise<string> | undefined

/**
 * Starts the embedded Postgres of this process if none runs yet (about a second; shared with child processes) and
 * creates a fresh database on it (about 30 ms).
 * @throws {TandemError} DATABASE_UNAVAILABLE when the binaries are missing or do not run on this machine
 */
export async function startTestDatabase(options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  server ??= startServer()
  server.catch(() => (server = undefined))
  const admin = await server
  const plain: Template = { name: 'template1', outboxes: [] }
  const template = options.prepare === undefined ? plain : await templateOf(admin, options.prepare)
  const name = `tandem_${randomBytes(6).toString('hex')}`
  await create(admin, name, template.name)
  if (template.outboxes.length > 0) await execute(withDatabase(admin, name), template.outboxes.map(ownDomain).join(';'))
  let dropped: Promise<void> | undefined
  const close = (): Promise<void> =>
    (dropped ??= execute(admin, `drop database if exists ${name} with (force)`).then(() => {}))
  return { url: withDatabase(admin, name), name, close, [Symbol.asyncDispose]: close }
}

async function startServer(): Promise<string> {
  const inherited = process.env[SERVER_VARIABLE]
  if (inherited !== undefined) {
    const alive = await execute(inherited, 'select 1').then(
      () => true,
      () => false,
    )
    if (alive) return inherited
  }
  const cluster = await PostgresCluster.start()
  const url = cluster.url('postgres')
  process.env[SERVER_VARIABLE] = url
  return url
}

function templateOf(admin: string, prepare: (url: string) => Promise<void>): Promise<Template> {
  let template = templates.get(prepare)
  if (template === undefined) {
    template = (async () => {
      const name = `tandem_template_${randomBytes(6).toString('hex')}`
      await create(admin, name, 'template1')
      const url = withDatabase(admin, name)
      await prepare(url)
      const found = await execute(url, OUTBOXES)
      return { name, outboxes: found.map((row) => String(row['schema'])) }
    })()
    templates.set(prepare, template)
    template.catch(() => templates.delete(prepare))
  }
  return template
}

const OUTBOXES = `select table_schema as schema from information_schema.columns
where table_name = 'domain' and column_name = 'database_oid'`

/** As `tandem outbox migrate --new-domain` does it. */
const ownDomain = (schema: string): string =>
  `update "${schema}".domain set domain_id = gen_random_uuid(),
  database_oid = (select oid from pg_database where datname = current_database())`

function withDatabase(url: string, name: string): string {
  const result = new URL(url)
  result.pathname = `/${name}`
  return result.href
}

// A template somebody is still leaving (a pool that closes late) is "being accessed by other users" for a moment.
async function create(admin: string, name: string, template: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await execute(admin, `create database ${name} template ${template}`)
      return
    } catch (error) {
      const busy = error instanceof TandemError && (error.cause as { code?: string }).code === '55006'
      if (!busy || attempt === 50) throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

/** @returns the rows of a single statement */
async function execute(url: string, sql: string): Promise<readonly Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 })
  client.on('error', () => {})
  try {
    await client.connect()
    return (await client.query<Record<string, unknown>>(sql)).rows
  } catch (cause) {
    throw new TandemError('DATABASE_UNAVAILABLE', `${sql}: ${(cause as Error).message}`, { cause })
  } finally {
    await client.end().catch(() => {})
  }
}
