// One Postgres server, one broker program, and the application's tables.
import { fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import knexFactory from 'knex'
import pg from 'pg'
import { Admin } from '../../../packages/client/dist/index.js'
import { Outbox } from '../../../packages/outbox/dist/index.js'
import { PostgresCluster } from '../../../packages/testing/dist/postgres-cluster.js'

const program = (path) => fileURLToPath(new URL(path, import.meta.url))
export const ACCOUNTS = 5_000
export const TOPIC = 'orders'
export const ignore = () => undefined

async function startBroker(directory, port, settings) {
  const set = Object.entries(settings).flatMap(([name, value]) => ['--set', `${name}=${value}`])
  const args = [program('../../../packages/cli/bin/tandem.js'), 'up', '--port', port, '--data-dir', directory, ...set]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  for await (const chunk of child.stdout) {
    text += chunk
    const [, address] = /ready on (\S+)/.exec(text) ?? []
    if (address === undefined) continue
    child.stdout.resume()
    return { address, child }
  }
  throw new Error(`the broker did not start: ${text}`)
}

/** @param child a program that this process started */
export async function stop(child, signal = 'SIGTERM') {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill(signal)
  await exit
}

/** Another way to `port`, `delayMs` longer in each direction. */
async function startProxy(port, delayMs) {
  const child = fork(program('delay-proxy.mjs'), [String(port), String(delayMs)])
  const [{ port: ownPort }] = await once(child, 'message')
  const requests = async () => {
    child.send({})
    return (await once(child, 'message'))[0].requests
  }
  return { child, port: ownPort, requests }
}

export class World {
  /**
   * @param options.disk false: neither Postgres nor the broker waits for the disk, for machines whose disk is others' too
   * @param settings of the broker
   */
  static async start({ disk }, settings = {}) {
    const world = new World()
    world.directory = mkdtempSync(join(tmpdir(), 'tandemmq-bench-outbox-'))
    // No checkpoint in the middle: full pages after it would be taken for somebody's WAL.
    world.cluster = await PostgresCluster.start({
      ...{ fsync: disk ? 'on' : 'off', shared_buffers: '256MB', max_wal_size: '4GB', checkpoint_timeout: '1h' },
    })
    world.url = world.cluster.url('postgres')
    world.settings = { flush: disk ? 'sync' : 'async', ...settings }
    await world.startBroker()
    await world.#prepare()
    return world
  }

  /** Again, where it was. */
  async startBroker() {
    const port = this.address?.split(':').at(-1) ?? '0'
    this.broker = await startBroker(join(this.directory, 'broker'), port, this.settings)
    this.address = this.broker.address
  }

  async #prepare() {
    await this.using(this.pool(2), async (pool) => {
      const outbox = new Outbox({ database: pool, nameServers: this.address, group: 'orders' })
      await outbox.migrate()
      await pool.query(
        'create table orders (id bigint generated always as identity primary key, account int, note text)',
      )
      await pool.query('create table account (id int primary key, balance bigint not null default 0)')
      await pool.query(`insert into account (id) select generate_series(0, ${ACCOUNTS - 1})`)
      await pool.query('vacuum analyze account')
    })
    const admin = new Admin({ nameServers: this.address })
    await admin.start()
    await admin.createTopic(TOPIC, { queues: 8 })
    await admin.close()
  }

  pool(max, url = this.url) {
    const pool = new pg.Pool({ connectionString: url, max })
    pool.on('error', ignore)
    return pool
  }

  knex(max, url = this.url) {
    return knexFactory({ client: 'pg', connection: url, pool: { min: max, max } })
  }

  async using(pool, work) {
    try {
      return await work(pool)
    } finally {
      await (pool.end?.() ?? pool.destroy())
    }
  }

  /** Both links with a delay, ms each way; 0: counted only. */
  async far(delayMs) {
    const proxies = [
      await startProxy(this.cluster.port, delayMs),
      await startProxy(Number(this.address.split(':').at(-1)), delayMs),
    ]
    const url = new URL(this.url)
    url.port = String(proxies[0].port)
    const requests = async () => [await proxies[0].requests(), await proxies[1].requests()]
    return {
      url: url.href,
      port: proxies[1].port,
      requests,
      close: () => Promise.all(proxies.map(({ child }) => stop(child))),
    }
  }

  async stop() {
    await stop(this.broker.child)
    await this.cluster.stop()
    rmSync(this.directory, { recursive: true, force: true })
  }
}
