import knexFactory, { type Knex } from 'knex'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { startTestDatabase } from '@tandemmq/testing/database'
import { type Driver, drivers, prepare, World } from '../outbox-world-test-kit.ts'
import type { Outbox } from '../outbox.ts'

/** A transaction the application itself begins and ends. */
interface Own {
  trx: object
  /** The client of pg, whatever is above it. */
  commit(): Promise<unknown>
  rollback(): Promise<unknown>
  close(): Promise<unknown>
}

const owns: Record<string, (url: string) => Promise<Own>> = {
  pg: async (url) => {
    const pool = new pg.Pool({ connectionString: url, max: 1 })
    pool.on('error', () => {})
    const trx = await pool.connect()
    trx.on('error', () => {})
    await trx.query('begin')
    const close = async (): Promise<void> => {
      trx.release(true)
      await pool.end()
    }
    return { trx, commit: () => trx.query('commit'), rollback: () => trx.query('rollback'), close }
  },
  knex: async (url) => {
    const knex = knexFactory({ client: 'pg', connection: url, pool: { min: 0, max: 1 } })
    const trx = await knex.transaction()
    trx.executionPromise.catch(() => {})
    const close = async (): Promise<void> => {
      if (!trx.isCompleted()) await trx.rollback()
      await knex.destroy()
    }
    return { trx, commit: async () => trx.commit(), rollback: async () => trx.rollback(), close }
  },
}

const message = (body: string) => ({ topic: 'orders', body })

describe.each(Object.keys(owns))('%s', (name) => {
  const driver = drivers[name] as Driver
  let world: World
  let outbox: Outbox
  let own: Own
  beforeEach(async () => {
    world = new World(await startTestDatabase({ prepare }), driver)
    outbox = await world.outbox()
    own = await (owns[name] as (url: string) => Promise<Own>)(world.db.url)
  })
  afterEach(async () => {
    await own.close()
    await world.close()
  })
  const run = (sql: string): Promise<unknown> => driver.query(own.trx, sql)

  test('a transaction of the application carries messages: its COMMIT delivers them', async () => {
    await driver.insert(own.trx, 'o-1')
    const messages = outbox.join(own.trx)
    messages.send(message('o-1'))
    expect(outbox.join(own.trx)).toBe(messages)
    await driver.insert(own.trx, 'o-2')
    expect(outbox.stats().running).toBe(1)
    messages.send(message('o-2'))
    await own.commit()
    await expect.poll(() => world.delivered()).toEqual(['o-1', 'o-2'])
    await expect.poll(() => world.rows('select * from tandem.tx')).toEqual([])
    expect(outbox.stats()).toMatchObject({ committed: 1, running: 0, anomalies: 0 })
    expect(() => messages.send(message('late'))).toThrow(/ILLEGAL_OPERATION/)
  })

  test('without a message the outbox leaves a joined transaction alone', async () => {
    outbox.join(own.trx)
    await driver.insert(own.trx, 'o-1')
    await own.commit()
    expect(await world.orders()).toEqual(['o-1'])
    expect(world.broker.halves).toEqual([])
  })

  test('the marker travels with the first message, and the half only after it', async () => {
    const locks: string[] = []
    world.broker.beforeHalf = async (half) => {
      const client = await world.pool.connect()
      const insert = `begin; set local lock_timeout='50ms'; insert into tandem.tx (tx_id) values ('${half.transactionId}')`
      await client.query(insert).catch((error: { code: string }) => locks.push(error.code))
      await client.query('rollback')
      client.release()
    }
    outbox.join(own.trx).send(message('o-1'))
    await expect.poll(() => world.broker.halves.length).toBe(1)
    await own.commit()
    expect(locks).toEqual(['55P03'])
  })

  test('ROLLBACK takes the messages back', async () => {
    await driver.insert(own.trx, 'o-1')
    outbox.join(own.trx).send(message('o-1'))
    await run('select 1')
    await own.rollback()
    await expect.poll(() => world.broker.pending()).toEqual([])
    await world.quiesce()
    expect([await world.orders(), world.delivered()]).toEqual([[], []])
  })

  test('a ROLLBACK right behind the message overtakes no marker: nothing stays, nothing arrives', async () => {
    outbox.join(own.trx).send(message('o-1'))
    await own.rollback()
    await outbox.close()
    expect(await world.rows('select * from tandem.tx')).toEqual([])
    await world.quiesce()
    expect(world.delivered()).toEqual([])
  })

  test('COMMIT rejects when a statement had failed and nobody looked', async () => {
    outbox.join(own.trx).send(message('o-1'))
    await driver.insert(own.trx, 'o-1')
    await driver.fail(own.trx).catch(() => {})
    await expect(own.commit()).rejects.toMatchObject({ code: 'TRANSACTION_ROLLED_BACK' })
    await world.quiesce()
    expect([await world.orders(), world.delivered()]).toEqual([[], []])
  })

  test('COMMIT rejects when a deferred constraint fails, also where the library would resolve', async () => {
    await world.rows("insert into orders values ('o-1')")
    await driver.insert(own.trx, 'o-1')
    outbox.join(own.trx).send(message('o-1'))
    await expect(own.commit()).rejects.toMatchObject({ code: '23505' })
    await world.quiesce()
    expect(world.delivered()).toEqual([])
  })

  test('COMMIT waits for a half that is slow, and forwards one that does not arrive', async () => {
    world.broker.beforeAck = () => new Promise(() => {})
    outbox.join(own.trx).send(message('o-1'))
    await own.commit()
    expect(outbox.stats()).toMatchObject({ committed: 1, fallbacks: 1 })
    await world.quiesce()
    expect(world.delivered()).toEqual(['o-1'])
  })

  test('a message the broker refuses for ever fails COMMIT', async () => {
    world.broker.beforeHalf = () => {
      throw Object.assign(new Error('no such topic'), { code: 'TOPIC_NOT_EXIST', retryable: false })
    }
    await driver.insert(own.trx, 'o-1')
    outbox.join(own.trx).send(message('o-1'))
    await expect(own.commit()).rejects.toThrow('no such topic')
    expect(await world.orders()).toEqual([])
  })

  test('savepoints by hand: what is rolled back is not sent, what is released follows the transaction', async () => {
    const messages = outbox.join(own.trx)
    await run('savepoint a')
    messages.send(message('undone'))
    await run('savepoint b')
    messages.send(message('undone inside'))
    await run('release savepoint b')
    await run('ROLLBACK TO SAVEPOINT A')
    messages.send(message('in a again'))
    await run('savepoint c')
    messages.send(message('in c'))
    await run('release c')
    expect(world.broker.halves).toEqual([])
    await own.commit()
    await world.quiesce()
    expect(world.delivered()).toEqual(['in a again', 'in c'])
  })

  test('a RELEASE that fails releases no message: its savepoint may still be rolled back', async () => {
    const messages = outbox.join(own.trx)
    messages.send(message('outer'))
    await run('savepoint a')
    messages.send(message('undone'))
    await driver.fail(own.trx).catch(() => {})
    await expect(run('release a')).rejects.toMatchObject({ code: '25P02' })
    await run('rollback to a')
    await own.commit()
    await world.quiesce()
    expect(world.delivered()).toEqual(['outer'])
  })

  test('S1: rolled back to a savepoint older than the join, its messages are too; joined again, the key is another', async () => {
    await run('savepoint older')
    const first = outbox.join(own.trx)
    first.send(message('undone'))
    await expect.poll(() => world.broker.halves.length).toBe(1)
    await run('rollback to older')
    await expect.poll(() => world.broker.halves.map((half) => half.fate)).toEqual(['rolledBack'])
    expect(() => first.send(message('x'))).toThrow(/ILLEGAL_OPERATION/)
    outbox.join(own.trx).send(message('kept'))
    await own.commit()
    await world.quiesce()
    expect(world.delivered()).toEqual(['kept'])
    expect(new Set(world.broker.halves.map((half) => half.message.transactionId)).size).toBe(2)
  })

  test('S1: the check-back of a half whose savepoint was rolled back says rollback while the transaction goes on', async () => {
    await run('savepoint older')
    world.broker.loseEnds = true
    outbox.join(own.trx).send(message('undone'))
    await expect.poll(() => world.broker.halves.length).toBe(1)
    await run('rollback to older')
    expect(await world.broker.checkBack()).toEqual(['rollback'])
    await driver.insert(own.trx, 'o-1')
    await own.commit()
    expect(await world.orders()).toEqual(['o-1'])
    await world.quiesce()
    expect(world.delivered()).toEqual([])
  })

  test('COMMIT among other statements of one text is refused before anything is sent', async () => {
    outbox.join(own.trx).send(message('o-1'))
    await expect(run('select 1; commit')).rejects.toMatchObject({ code: 'ILLEGAL_OPERATION' })
    await run("select '; commit'")
    await own.commit()
    await world.quiesce()
    expect(world.delivered()).toEqual(['o-1'])
  })

  test('a transaction on another database is refused at COMMIT', async () => {
    const elsewhere = await startTestDatabase({ prepare })
    const other = await (owns[name] as (url: string) => Promise<Own>)(elsewhere.url)
    // A copy of the same template: as if it had been migrated by itself.
    await driver.query(other.trx, 'update tandem.domain set domain_id = gen_random_uuid()')
    outbox.join(other.trx).send(message('stranger'))
    await expect(other.commit()).rejects.toMatchObject({ code: 'OPTION_INVALID' })
    await other.close()
    await elsewhere.close()
    expect(world.broker.halves).toEqual([])
  })

  test('a connection that breaks leaves the message to the check-back: rolled back', async () => {
    await driver.insert(own.trx, 'o-1')
    outbox.join(own.trx).send(message('o-1'))
    await expect.poll(() => world.broker.halves.length).toBe(1)
    const idle = "state = 'idle in transaction' and datname = current_database()"
    await world.rows(`select pg_terminate_backend(pid) from pg_stat_activity where ${idle}`)
    await expect.poll(() => world.broker.checkBack()).toEqual(['rollback'])
    await expect(own.commit()).rejects.toThrow()
    await world.quiesce()
    expect([await world.orders(), world.delivered()]).toEqual([[], []])
  })

  test('closing the outbox waits for a joined transaction', async () => {
    outbox.join(own.trx).send(message('o-1'))
    let closed = false
    const closing = outbox.close().then(() => (closed = true))
    await run('select 1')
    expect(closed).toBe(false)
    await own.commit()
    await closing
    expect(world.delivered()).toEqual(['o-1'])
  })

  test('inside of transaction() join finds the messages that are there', async () => {
    await outbox.transaction((trx, messages) => {
      expect(outbox.join(trx as object as never)).toBe(messages)
      messages.send(message('o-1'))
    })
    await expect.poll(() => world.delivered()).toEqual(['o-1'])
  })

  test('what is not a transaction cannot be joined', () => {
    for (const nonsense of [{}, undefined, null, 7, () => {}, new pg.Pool(), knexFactory({ client: 'pg' })])
      expect(() => outbox.join(nonsense as never)).toThrow(/OPTION_INVALID/)
  })

  test('COMMIT by the callback itself counts, also one nobody waited for', async () => {
    const early = (trx: unknown): Promise<unknown> =>
      name === 'pg' ? driver.query(trx, 'commit') : (trx as Knex.Transaction).commit()
    await outbox.transaction(async (trx, messages) => {
      await driver.insert(trx, 'o-1')
      messages.send(message('o-1'))
      await early(trx)
    })
    await outbox.transaction(async (trx, messages) => {
      await driver.insert(trx, 'o-2')
      messages.send(message('o-2'))
      void early(trx)
    })
    expect(outbox.stats().committed).toBe(2)
    await world.quiesce()
    expect([await world.orders(), world.delivered()]).toEqual([
      ['o-1', 'o-2'],
      ['o-1', 'o-2'],
    ])
  })

  test('ROLLBACK by the callback itself rejects, and nothing arrives', async () => {
    const undone = outbox.transaction(async (trx, messages) => {
      await driver.insert(trx, 'o-1')
      messages.send(message('o-1'))
      if (name === 'pg') await driver.query(trx, 'rollback')
      else await (trx as Knex.Transaction).rollback()
    })
    await expect(undone).rejects.toMatchObject({ code: 'TRANSACTION_ROLLED_BACK' })
    await world.quiesce()
    expect([await world.orders(), world.delivered()]).toEqual([[], []])
  })

  test('knex trx.commit() inside the callback rejects when COMMIT fails', async () => {
    await world.rows("insert into orders values ('o-1')")
    const heard: unknown[] = []
    const failed = outbox.transaction(async (trx, messages) => {
      await driver.insert(trx, 'o-1')
      messages.send(message('o-1'))
      const commit = name === 'pg' ? driver.query(trx, 'commit') : (trx as Knex.Transaction).commit()
      await (commit as Promise<unknown>).catch((error: { code: string }) => heard.push(error.code))
    })
    await expect(failed).rejects.toMatchObject({ code: '23505' })
    expect(heard).toEqual(['23505'])
    await world.quiesce()
    expect(world.delivered()).toEqual([])
  })
})

test('knex.transaction(callback) commits a joined transaction by itself, and rejects as it should', async () => {
  const world = new World(await startTestDatabase({ prepare }), drivers['knex'] as Driver)
  const outbox = await world.outbox()
  const knex = knexFactory({ client: 'pg', connection: world.db.url, pool: { min: 0, max: 1 } })
  const place = (id: string, wrong = false): Promise<void> =>
    knex.transaction(async (trx) => {
      await trx('orders').insert({ id })
      outbox.join(trx).send(message(id))
      if (wrong) await trx.raw('select 1/0').catch(() => {})
    })
  await place('o-1')
  await expect(place('o-1')).rejects.toMatchObject({ code: '23505' })
  await expect(place('o-2', true)).rejects.toMatchObject({ code: 'TRANSACTION_ROLLED_BACK' })
  await place('o-3')
  await world.quiesce()
  expect([await world.orders(), world.delivered()]).toEqual([
    ['o-1', 'o-3'],
    ['o-1', 'o-3'],
  ])
  await knex.destroy()
  await world.close()
})

test('callbacks of pg hear of COMMIT as they do without us, and the client is left as it was', async () => {
  const world = new World(await startTestDatabase({ prepare }), drivers['pg'] as Driver)
  const outbox = await world.outbox()
  const client = new pg.Client({ connectionString: world.db.url })
  await client.connect()
  await client.query('begin')
  outbox.join(client).send(message('o-1'))
  const tag = await new Promise((resolve, reject) =>
    client.query('commit', (error, result) => (error ? reject(error) : resolve(result.command))),
  )
  expect(tag).toBe('COMMIT')
  await client.query('begin')
  outbox.join(client).send(message('o-2'))
  await client.query('select 1/0').catch(() => {})
  const wrong = await new Promise((resolve) => client.query({ text: 'commit', values: [] }, (error) => resolve(error)))
  expect(wrong).toMatchObject({ code: 'TRANSACTION_ROLLED_BACK' })
  expect(Object.hasOwn(client, 'query')).toBe(false)
  expect(client.listenerCount('error') + client.listenerCount('notice') + client.listenerCount('end')).toBe(0)
  await client.end()
  await world.quiesce()
  expect(world.delivered()).toEqual(['o-1'])
  await world.close()
})

test('on a single client transactions take turns, and the outbox has connections of its own', async () => {
  const world = new World(await startTestDatabase({ prepare }), {
    ...(drivers['pg'] as Driver),
    open: (url) => {
      const database = new pg.Client({ connectionString: url })
      const connected = database.connect()
      return { database, end: () => connected.then(() => database.end()) }
    },
  })
  const outbox = await world.outbox()
  const ids = Array.from({ length: 20 }, (_, n) => `o-${n}`)
  await Promise.all(
    ids.map((id, n) =>
      outbox
        .transaction(async (trx, messages) => {
          await world.driver.insert(trx, id)
          messages.send(message(id))
          if (n % 4 === 0) throw new Error('no')
        })
        .catch(() => {}),
    ),
  )
  await world.quiesce()
  expect(await world.orders()).toHaveLength(15)
  expect(world.delivered()).toEqual(await world.orders())
  await world.close()
})

test('without BEGIN there is nothing to join', async () => {
  const world = new World(await startTestDatabase({ prepare }), drivers['pg'] as Driver)
  const outbox = await world.outbox()
  const client = new pg.Client({ connectionString: world.db.url })
  await client.connect()
  expect(() => outbox.join(client)).toThrow(/ILLEGAL_OPERATION/)
  // Not awaited: pg answers only later that there was no transaction.
  const running = client.query('select 1')
  outbox.join(client).send(message('o-1'))
  await Promise.all([running, client.query('select 2')])
  await expect(client.query('commit')).rejects.toMatchObject({ code: 'ILLEGAL_OPERATION' })
  expect(world.broker.halves).toEqual([])
  await client.end()
  await world.quiesce()
  expect(world.delivered()).toEqual([])
  await world.close()
})
