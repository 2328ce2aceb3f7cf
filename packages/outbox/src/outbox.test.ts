import type { Knex } from 'knex'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { startTestDatabase } from '@tandemmq/testing/database'
import type { Outbox } from './outbox.ts'
import { type Driver, drivers, prepare, World } from './outbox-world-test-kit.ts'

const worlds: World[] = []
afterAll(() => Promise.all(worlds.map((world) => world.close())))

describe.each(Object.keys(drivers))('%s', (name) => {
  let world: World
  beforeEach(async () => {
    world = new World(await startTestDatabase({ prepare }), drivers[name] as Driver)
    worlds.push(world)
  })

  const place = (outbox: Outbox, id: string): Promise<string> =>
    outbox.transaction(async (trx, messages) => {
      await world.driver.insert(trx, id)
      messages.send({ topic: 'orders', keys: [id], body: id })
      return id
    })

  test('a committed transaction delivers its message once and leaves no marker', async () => {
    const outbox = await world.outbox()
    expect(await place(outbox, 'o-1')).toBe('o-1')
    await expect.poll(() => world.delivered()).toEqual(['o-1'])
    await expect.poll(() => world.rows('select * from tandem.tx')).toEqual([])
    // The row is gone a moment before its deletion is answered.
    await expect
      .poll(() => outbox.stats())
      .toMatchObject({ committed: 1, pendingHalves: 0, markers: 0, anomalies: 0, fallbacks: 0 })
  })

  test('a callback that throws rolls back, rejects with its error, and its message never arrives', async () => {
    const outbox = await world.outbox()
    const failed = outbox.transaction(async (trx, messages) => {
      await world.driver.insert(trx, 'o-1')
      messages.send({ topic: 'orders', body: 'o-1' })
      throw new Error('above credit')
    })
    await expect(failed).rejects.toThrow('above credit')
    await expect.poll(() => world.broker.halves.map((half) => half.fate)).toEqual(['rolledBack'])
    expect([await world.orders(), world.delivered()]).toEqual([[], []])
  })

  test('the half leaves only after the marker is in the database', async () => {
    const outbox = await world.outbox()
    const locked: unknown[] = []
    world.broker.beforeHalf = async (message) => {
      const key = message.transactionId
      await world.pool
        .query(`begin; set local lock_timeout='50ms'; insert into tandem.tx (tx_id) values ('${key}'); commit`)
        .catch(async (error: { code: string }) => locked.push(error.code))
      await world.pool.query('rollback')
    }
    await place(outbox, 'o-1')
    expect(locked).toEqual(['55P03'])
  })

  test('a swallowed error makes COMMIT a rollback: the caller hears it and no message arrives', async () => {
    const outbox = await world.outbox()
    const swallowed = outbox.transaction(async (trx, messages) => {
      await world.driver.insert(trx, 'o-1')
      messages.send({ topic: 'orders', body: 'o-1' })
      await world.driver.fail(trx).catch(() => {})
    })
    await expect(swallowed).rejects.toMatchObject({ code: 'TRANSACTION_ROLLED_BACK' })
    await Promise.all(Array.from({ length: 10 }, (_, n) => place(outbox, `after-${n}`)))
    await world.quiesce()
    expect(await world.orders()).toHaveLength(10)
    expect(world.delivered()).toEqual(await world.orders())
  })

  test('a deferred constraint that fails at COMMIT rejects with its SQLSTATE and no message arrives', async () => {
    const outbox = await world.outbox()
    await place(outbox, 'o-1')
    await expect(place(outbox, 'o-1')).rejects.toMatchObject({ code: '23505' })
    await world.quiesce()
    expect([await world.orders(), world.delivered()]).toEqual([['o-1'], ['o-1']])
  })

  test('with the broker away the message goes through the outbox table, once, when it is back', async () => {
    const outbox = await world.outbox()
    world.broker.away = true
    for (let n = 0; n < 5; n++) await place(outbox, `o-${n}`)
    expect(world.delivered()).toEqual([])
    expect(outbox.stats()).toMatchObject({ circuitOpen: true })
    world.broker.away = false
    await expect.poll(() => world.delivered(), { timeout: 10_000 }).toEqual(['o-0', 'o-1', 'o-2', 'o-3', 'o-4'])
    await expect.poll(() => world.rows('select id from tandem.outbox')).toEqual([])
    await world.quiesce()
    expect(world.delivered()).toHaveLength(5)
  })

  test('a half that is late is rolled back and the message arrives once, through the table', async () => {
    const outbox = await world.outbox({ halfTimeoutMs: 30 })
    let release: (() => void) | undefined
    world.broker.beforeHalf = () => new Promise((resolve) => (release = resolve))
    await place(outbox, 'o-1')
    await expect.poll(() => world.delivered()).toEqual(['o-1'])
    release?.()
    await expect.poll(() => world.broker.halves.map((half) => half.fate)).toEqual(['rolledBack'])
    expect(world.delivered()).toEqual(['o-1'])
    expect(world.broker.conflicts).toBe(0)
  })

  test('a half whose acknowledgement is lost is rolled back by the check-back', async () => {
    const outbox = await world.outbox({ halfTimeoutMs: 30 })
    world.broker.beforeAck = () => new Promise(() => {})
    await place(outbox, 'o-1')
    await expect.poll(() => world.delivered()).toEqual(['o-1'])
    expect(await world.broker.checkBack()).toEqual(['rollback'])
    expect(world.delivered()).toEqual(['o-1'])
  })

  test('a check-back during the transaction is answered unknown, after it with the outcome', async () => {
    const outbox = await world.outbox()
    const other = await world.outbox()
    world.broker.loseEnds = true
    const during: string[] = []
    await outbox.transaction(async (trx, messages) => {
      await world.driver.insert(trx, 'o-1')
      messages.send({ topic: 'orders', body: 'o-1' })
      await expect.poll(() => world.broker.halves.length).toBe(1)
      during.push(...(await world.broker.checkBack()))
    })
    expect(during).toEqual(['unknown', 'unknown'])
    const after = await world.broker.checkBack()
    expect(after[0]).toBe('commit')
    expect(other.stats().checks).toBeGreaterThan(0)
    expect(world.delivered()).toEqual(['o-1'])
  })

  test('a check-back fences a transaction that lost its connection, and its COMMIT fails', async () => {
    const outbox = await world.outbox()
    const cut = outbox.transaction(async (trx, messages) => {
      await world.driver.insert(trx, 'o-1')
      messages.send({ topic: 'orders', body: 'o-1' })
      await expect.poll(() => world.broker.halves.length).toBe(1)
      await world.pool.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where state = 'idle in transaction'",
      )
      await expect.poll(() => world.broker.checkBack()).toEqual(['rollback'])
    })
    await expect(cut).rejects.toThrow()
    await world.quiesce()
    expect([await world.orders(), world.delivered()]).toEqual([[], []])
  })

  test('another process answers for one that died after COMMIT, and the sweeper removes its marker', async () => {
    const outbox = await world.outbox()
    world.broker.loseEnds = true
    await place(outbox, 'o-1')
    world.broker.loseEnds = false
    await world.quiesce()
    expect(world.delivered()).toEqual(['o-1'])
    expect(await world.rows("select * from tandem.tx where state <> 'R'")).toEqual([])
  })

  test('the sweeper leaves the marker of a half that is still pending, however old', async () => {
    const outbox = await world.outbox({ markerAgeMs: 0 })
    world.broker.loseEnds = true
    await place(outbox, 'o-1')
    await outbox.sweep()
    expect(world.broker.log).toContain('asked')
    await world.broker.checkBack()
    expect(world.delivered()).toEqual(['o-1'])
  })

  test('the sweeper deletes nothing while a broker does not answer', async () => {
    const outbox = await world.outbox({ markerAgeMs: 0 })
    world.broker.loseEnds = true
    await place(outbox, 'o-1')
    world.broker.away = true
    await expect(outbox.sweep()).rejects.toMatchObject({ code: 'CONNECT_FAILED' })
    expect(await world.rows('select state from tandem.tx')).toHaveLength(1)
  })

  test('a COMMIT whose answer is lost is asked after, and the caller gets the true outcome', async () => {
    const outbox = await world.outbox()
    await world.pool.query(`create function cut() returns trigger language plpgsql as
      $$ begin perform pg_terminate_backend(pg_backend_pid()); return null; end $$;
      create constraint trigger cut after insert on orders deferrable initially deferred for each row
      when (new.id = 'cut') execute function cut()`)
    await expect(place(outbox, 'cut')).rejects.toMatchObject({ code: 'TRANSACTION_ROLLED_BACK' })
    expect(outbox.stats().inDoubt).toBe(1)
    await world.quiesce()
    expect([await world.orders(), world.delivered()]).toEqual([[], []])
  })

  test('late mode sends nothing for a transaction that fails', async () => {
    const outbox = await world.outbox({ mode: 'late' })
    const failed = outbox.transaction((_trx, messages) => {
      messages.send({ topic: 'orders', body: 'x' })
      throw new Error('no')
    })
    await expect(failed).rejects.toThrow('no')
    expect(world.broker.halves).toEqual([])
    await place(outbox, 'o-1')
    await expect.poll(() => world.delivered()).toEqual(['o-1'])
  })

  test('messages of one key keep their order over an outage', async () => {
    const outbox = await world.outbox()
    const send = (body: string): Promise<void> =>
      outbox.transaction((_trx, messages) => messages.send({ topic: 'orders', orderBy: 'c-1', body }))
    await send('1')
    // An END still on its way when the broker goes would let the others overtake; see README.md.
    await expect.poll(() => world.delivered()).toEqual(['1'])
    world.broker.away = true
    for (const body of ['2', '3', '4', '5']) await send(body)
    world.broker.away = false
    await send('6')
    await expect.poll(() => world.broker.delivered.length, { timeout: 10_000 }).toBe(6)
    expect(world.broker.delivered.map((message) => String(message.body))).toEqual(['1', '2', '3', '4', '5', '6'])
  })

  test('a message queues behind those of its key that still wait in the table', async () => {
    const first = await world.outbox({ relayIntervalMs: 60_000 })
    const second = await world.outbox()
    const order = (outbox: Outbox, body: string): Promise<void> =>
      outbox.transaction((_trx, messages) => messages.send({ topic: 'orders', orderBy: 'c-1', body }))
    world.broker.away = true
    for (const body of ['1', '2']) await order(first, body)
    await world.rows("update tandem.outbox set lease_until = clock_timestamp() + interval '1 s'")
    world.broker.away = false
    await order(second, '3')
    await expect.poll(() => world.broker.delivered.length, { timeout: 10_000 }).toBe(3)
    expect(world.broker.delivered.map((message) => String(message.body))).toEqual(['1', '2', '3'])
  })

  test('a message the broker refuses for ever fails the transaction', async () => {
    const outbox = await world.outbox()
    world.broker.beforeHalf = () => {
      throw Object.assign(new Error('no such topic'), { code: 'TOPIC_NOT_EXIST', retryable: false })
    }
    await expect(place(outbox, 'o-1')).rejects.toThrow('no such topic')
    expect(await world.orders()).toEqual([])
  })

  test('sending after the transaction is refused', async () => {
    const outbox = await world.outbox()
    let leaked: { send(message: { topic: string; body: string }): void } | undefined
    await outbox.transaction((_trx, messages) => void (leaked = messages))
    expect(() => leaked?.send({ topic: 'orders', body: 'x' })).toThrow(/ILLEGAL_OPERATION/)
  })

  test('what Postgres or the broker could not hold is refused at send, with the broker there or away', async () => {
    const outbox = await world.outbox()
    const send = (message: object): Promise<unknown> =>
      outbox.transaction((_trx, messages) => messages.send({ topic: 'orders', body: 'x', ...message }))
    for (const away of [false, true]) {
      world.broker.away = away
      await expect(send({ orderBy: 'a\0b' })).rejects.toMatchObject({ code: 'MESSAGE_ILLEGAL' })
      await expect(send({ body: Buffer.alloc(5 * 1_048_576) })).rejects.toMatchObject({ code: 'MESSAGE_TOO_LARGE' })
      await expect(send({ dedupKey: 'mine' })).rejects.toMatchObject({ code: 'MESSAGE_ILLEGAL' })
      await send({ body: Buffer.alloc(4_194_304, 7), properties: { text: 'a\0b' } })
    }
    world.broker.away = false
    await expect.poll(() => world.broker.delivered.length, { timeout: 10_000 }).toBe(2)
  })

  test('a serialization failure runs the callback again under a new key', async () => {
    const outbox = await world.outbox()
    let runs = 0
    await outbox.transaction(
      async (trx, messages) => {
        await world.driver.insert(trx, `o-${++runs}`)
        messages.send({ topic: 'orders', body: `o-${runs}` })
        if (runs === 1) throw Object.assign(new Error('serialize'), { code: '40001' })
      },
      { retries: 1, isolationLevel: 'serializable' },
    )
    await world.quiesce()
    expect([await world.orders(), world.delivered()]).toEqual([['o-2'], ['o-2']])
    expect(new Set(world.broker.halves.map((half) => half.message.dedupKey)).size).toBe(2)
  })
})

const send = (body: string) => ({ topic: 'orders', body })

describe('knex savepoints', () => {
  let world: World
  beforeEach(async () => {
    world = new World(await startTestDatabase({ prepare }), drivers['knex'] as Driver)
    worlds.push(world)
  })
  test('a savepoint rolled back takes its messages with it, one released keeps them', async () => {
    const outbox = await world.outbox()
    await outbox.transaction(async (raw, messages) => {
      const trx = raw as Knex.Transaction
      messages.send(send('outer'))
      await trx
        .transaction(async (inner) => {
          messages.send(send('undone'))
          await inner.transaction(async () => messages.send(send('undone with it')))
          throw new Error('undo')
        })
        .catch(() => {})
      await trx.transaction(async (inner) => {
        await inner.savepoint(async () => messages.send(send('kept, two deep')))
        messages.send(send('kept'))
      })
      await trx
        .transaction(async (inner) => {
          messages.send(send('rolled back without a reason'))
          await inner.rollback()
        })
        .catch(() => {})
    })
    await world.quiesce()
    expect(world.delivered()).toEqual(['kept', 'kept, two deep', 'outer'])
  })

  test('a savepoint made by hand is one too: what is sent while it is open goes with it', async () => {
    const outbox = await world.outbox()
    await outbox.transaction(async (raw, messages) => {
      const trx = raw as Knex.Transaction
      const undone = await trx.transaction()
      messages.send(send('undone'))
      await undone.rollback()
      messages.send(send('after it'))
      const kept = await trx.transaction()
      messages.send(send('kept'))
      await kept.commit()
    })
    await world.quiesce()
    expect(world.delivered()).toEqual(['after it', 'kept'])
  })

  test('a nested transaction nobody waited for is refused instead of committed in part', async () => {
    const outbox = await world.outbox()
    const tried = outbox.transaction(async (raw, messages) => {
      await (raw as Knex.Transaction).transaction()
      messages.send(send('half done'))
    })
    await expect(tried).rejects.toMatchObject({ code: 'ILLEGAL_OPERATION' })
    await world.quiesce()
    expect(world.delivered()).toEqual([])
  })
})
