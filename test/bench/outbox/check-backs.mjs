// Check-backs answered by Postgres: the resolver's one statement that writes, many keys in it or one after the other; half of the keys
// committed, half never seen. The broker's side of it, many ids in a request, is in ../check-backs.bench.mjs.
import { systemClock } from '../../../packages/client/dist/index.js'
import { Resolver } from '../../../packages/outbox/dist/check-back/resolver.js'
import { Schema } from '../../../packages/outbox/dist/schema/schema.js'
import { newTransactionId } from '../../../packages/outbox/dist/database/transaction-id.js'
import { figure, median } from './numbers.mjs'
import { ignore } from './world.mjs'

const logger = { debug: ignore, info: ignore, warn: ignore, error: ignore }
/** As many as a broker asks about at a time. */
const TOGETHER = 2_000

async function keysOf(pool, count) {
  const keys = Array.from({ length: count }, () => newTransactionId(systemClock))
  const committed = keys.filter((_, n) => n % 2 === 0)
  await pool.query('insert into tandem.tx (tx_id) select unnest($1::uuid[])', [committed])
  return keys
}

async function asked(resolver, keys, atOnce) {
  const startedAt = performance.now()
  for (let at = 0; at < keys.length; at += atOnce) {
    const verdicts = await Promise.all(keys.slice(at, at + atOnce).map((key) => resolver.check(key)))
    for (const [n, { state }] of verdicts.entries()) {
      const expected = (at + n) % 2 === 0 ? 'C' : 'R'
      if (state !== expected) throw new Error(`a check-back was answered ${state} instead of ${expected}`)
    }
  }
  return keys.length / ((performance.now() - startedAt) / 1_000)
}

export async function checkBacks(world, { rounds, smoke }) {
  const pool = world.pool(3)
  try {
    const { rows } = await pool.query('select domain_id from tandem.domain')
    const domainId = rows[0].domain_id
    const resolver = new Resolver({
      pool,
      schema: new Schema('tandem'),
      domainId,
      clock: systemClock,
      logger,
      deadlineMs: 30_000,
    })
    await asked(resolver, await keysOf(pool, TOGETHER), TOGETHER)
    const found = { batched: [], single: [] }
    for (let turn = 0; turn < rounds; turn++) {
      found.batched.push(await asked(resolver, await keysOf(pool, smoke ? TOGETHER : 100_000), TOGETHER))
      found.single.push(await asked(resolver, await keysOf(pool, smoke ? 20 : 2_000), 1))
      await pool.query('truncate tandem.tx')
    }
    const row = (name, list, floor) =>
      figure(name, Math.round(median(list)), floor, 'at least', { ours: `${Math.round(median(list))}/s` })
    return [
      row(`check-backs through Postgres, ${TOGETHER} at a time`, found.batched, 50_000),
      row('check-backs through Postgres, one by one', found.single, 1_000),
    ]
  } finally {
    await pool.end()
  }
}
