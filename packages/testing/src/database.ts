import { randomBytes } from 'node:crypto'
import { TandemError } from '@tandemmq/client'
import pg from 'pg'
import { PostgresCluster } from './postgres-cluster.ts'

/** Names a server for this process and its children; set by hand it makes tests use that server (a superuser URL). */
const SERVER_VARIABLE = 'TANDEMMQ_TEST_POSTGRES'

export interface TestDatabaseOptions {
  /**
   * Run once per process on a template database (migrations, reference data); every database started with the same
   * function is a copy of it, which takes about 30 ms however long the preparation took.
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

const templates = new Map<(url: string) => Promise<void>, Promise<string>>()
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
  const template = options.prepare === undefined ? 'template1' : await templateOf(admin, options.prepare)
  const name = `tandem_${randomBytes(6).toString('hex')}`
  await create(admin, name, template)
  let dropped: Promise<void> | undefined
  const close = (): Promise<void> => (dropped ??= execute(admin, `drop database if exists ${name} with (force)`))
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

function templateOf(admin: string, prepare: (url: string) => Promise<void>): Promise<string> {
  let template = templates.get(prepare)
  if (template === undefined) {
    template = (async () => {
      const name = `tandem_template_${randomBytes(6).toString('hex')}`
      await create(admin, name, 'template1')
      await prepare(withDatabase(admin, name))
      return name
    })()
    templates.set(prepare, template)
    template.catch(() => templates.delete(prepare))
  }
  return template
}

function withDatabase(url: string, name: string): string {
  const result = new URL(url)
  result.pathname = `/${name}`
  return result.href
}

// A template somebody is still leaving (a pool that closes late) is "being accessed by other users" for a moment.
async function create(admin: string, name: string, template: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await execute(admin, `create database ${name} template ${template}`)
    } catch (error) {
      const busy = error instanceof TandemError && (error.cause as { code?: string }).code === '55006'
      if (!busy || attempt === 50) throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

async function execute(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 })
  client.on('error', () => {})
  try {
    await client.connect()
    await client.query(sql)
  } catch (cause) {
    throw new TandemError('DATABASE_UNAVAILABLE', `${sql}: ${(cause as Error).message}`, { cause })
  } finally {
    await client.end().catch(() => {})
  }
}
