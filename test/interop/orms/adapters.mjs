// Adapters of the outbox for libraries that are too large to install with this repository. `from` imports out of the folder
// they are installed in; each adapter speaks to Postgres through pg.
import { callbackTransaction } from '@tandemmq/outbox'

const ignore = () => {}

/** Finds the client of a transaction by its backend: for libraries that show their pool, but not the client. */
function clientsOf(pool) {
  const clients = new Map()
  pool.on('error', ignore)
  pool.on('connect', (client) => {
    client.on('error', ignore)
    clients.set(client.processID, client)
  })
  pool.on('remove', (client) => clients.delete(client.processID))
  return (pid) => clients.get(Number(pid))
}

function ownPool(pg, url) {
  return (max) => {
    const pool = new pg.Pool({ connectionString: url, max })
    pool.on('error', ignore)
    return pool
  }
}

export async function typeorm(from, url) {
  await from('reflect-metadata')
  const { DataSource } = await from('typeorm')
  const { default: pg } = await from('pg')
  const source = await new DataSource({ type: 'postgres', url, entities: [] }).initialize()
  const adapter = {
    async connect(isolation) {
      const runner = source.createQueryRunner()
      const client = await runner.connect()
      client.on('error', ignore)
      let begun = false
      return {
        // TypeORM sets the level in a statement of its own, which must be the first one: the marker follows.
        get client() {
          return isolation === undefined || begun ? client : undefined
        },
        begin: async () => {
          await runner.startTransaction(isolation?.toUpperCase())
          begun = true
          return runner.manager
        },
        commit: () => runner.commitTransaction(),
        rollback: () => runner.rollbackTransaction(),
        release: () => runner.release(),
      }
    },
    clientOf: (manager) => manager.queryRunner.connect(),
    ownPool: ownPool(pg, url),
  }
  return {
    adapter,
    query: (manager, sql) => manager.query(sql),
    nested: (manager, inside) => manager.transaction(inside),
    /** The application's own transaction. */
    own: (work) => source.transaction(work),
    close: () => source.destroy(),
  }
}

export async function mikroorm(from, url) {
  const { MikroORM, EntitySchema } = await from('@mikro-orm/postgresql')
  const { default: pg } = await from('pg')
  const Order = new EntitySchema({
    name: 'Order',
    tableName: 'orders',
    properties: { id: { type: 'text', primary: true } },
  })
  let clientOfBackend
  const onPoolCreated = (pool) => {
    clientOfBackend = clientsOf(pool)
  }
  const orm = await MikroORM.init({ clientUrl: url, entities: [Order], driverOptions: { onPoolCreated } })
  const adapter = {
    async connect(isolation) {
      const em = orm.em.fork()
      let client
      return {
        get client() {
          return client
        },
        begin: async () => {
          await em.begin(isolation === undefined ? {} : { isolationLevel: isolation })
          const [{ pid }] = await em.execute('select pg_backend_pid() as pid')
          client = clientOfBackend(pid)
          return em
        },
        // A COMMIT that failed leaves the connection with MikroORM until it is told.
        commit: () =>
          em.commit().catch(async (error) => {
            await em.rollback().catch(ignore)
            throw error
          }),
        rollback: () => em.rollback(),
        release: ignore,
      }
    },
    ownPool: ownPool(pg, url),
  }
  return {
    adapter,
    query: (em, sql) => em.execute(sql),
    nested: (em, inside) => em.transactional(inside),
    close: () => orm.close(),
  }
}

export async function prisma(from, url) {
  const { PrismaClient } = await from('@prisma/client')
  const { PrismaPg } = await from('@prisma/adapter-pg')
  const { default: pg } = await from('pg')
  const pool = new pg.Pool({ connectionString: url })
  const clientOfBackend = clientsOf(pool)
  const db = new PrismaClient({ adapter: new PrismaPg(pool, { disposeExternalPool: true }) })
  const levels = {
    'read committed': 'ReadCommitted',
    'repeatable read': 'RepeatableRead',
    serializable: 'Serializable',
  }
  const adapter = {
    async connect(isolation) {
      const settings = isolation === undefined ? {} : { isolationLevel: levels[isolation] }
      const transaction = callbackTransaction((body) => db.$transaction(body, { timeout: 60_000, ...settings }))
      let client
      return {
        get client() {
          return client
        },
        ...transaction,
        begin: async () => {
          const tx = await transaction.begin()
          const [{ pid }] = await tx.$queryRawUnsafe('select pg_backend_pid() as pid')
          client = clientOfBackend(pid)
          return tx
        },
        release: ignore,
      }
    },
    ownPool: ownPool(pg, url),
  }
  return {
    adapter,
    query: (tx, sql) => (/^select/i.test(sql) ? tx.$queryRawUnsafe(sql) : tx.$executeRawUnsafe(sql)),
    close: () => db.$disconnect(),
  }
}
