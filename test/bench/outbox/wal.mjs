// What a message adds to the write-ahead log of a transaction, marker, its deletion and all, at two sizes of its body. No clock
// is involved: bytes are bytes on a busy machine too.
import { systemClock } from '../../../packages/client/dist/index.js'
import { newTransactionId } from '../../../packages/outbox/dist/database/transaction-id.js'
import { figure, median, round } from './numbers.mjs'
import { drivers, startOutbox } from './transactions.mjs'

/** Transactions of the application first: pages are filled and full images written once. */
const WARM_UP = 500

async function walOf(pool, work) {
  const now = async () => (await pool.query('select pg_current_wal_insert_lsn() as lsn')).rows[0].lsn
  const before = await now()
  await work()
  const { rows } = await pool.query('select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1)::float8 as bytes', [
    before,
  ])
  return rows[0].bytes
}

async function times(count, transaction) {
  for (let n = 0; n < count; n++) await transaction()
}

/** Markers are deleted a moment after their halves are settled; here they have to be. */
async function settled(outbox) {
  for (;;) {
    const { markers, pendingHalves } = outbox.stats()
    if (markers + pendingHalves === 0) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** The same deletion the outbox makes, alone: what is left of the difference is the transaction's own. */
async function deletionOf(pool, count) {
  const keys = Array.from({ length: count }, () => newTransactionId(systemClock))
  await pool.query('insert into tandem.tx (tx_id) select unnest($1::uuid[])', [keys])
  const bytes = await walOf(pool, () => pool.query('delete from tandem.tx where tx_id = any($1::uuid[])', [keys]))
  return bytes / count
}

export async function wal(world, { smoke }) {
  const count = smoke ? 50 : 1_000
  const { open, bare, half } = drivers.pg
  const database = open(world, 2)
  // Its deletions and vacuums would be nobody's: the tables of the application stay as they are.
  await database.query('alter table orders set (autovacuum_enabled = off)')
  await database.query('alter table account set (autovacuum_enabled = off)')
  const outbox = await startOutbox(world, database)
  const figures = []
  try {
    const withMarkers = (body, total) => async () => {
      await times(total, () => half(outbox, body))
      await settled(outbox)
    }
    for (const bytes of [300, 4_096]) {
      const body = Buffer.alloc(bytes, 'x')
      await times(WARM_UP, () => bare(database))
      await withMarkers(body, WARM_UP)()
      // In turn: the tables of the application fill up meanwhile, and a vacuum may fall into one of the rounds.
      const rounds = []
      for (let turn = 0; turn < (smoke ? 1 : 3); turn++) {
        const perBare = (await walOf(database, () => times(count, () => bare(database)))) / count
        rounds.push({ perBare, perHalf: (await walOf(database, withMarkers(body, count))) / count })
      }
      const perBare = median(rounds.map((one) => one.perBare))
      const perHalf = median(rounds.map((one) => one.perHalf))
      const above = median(rounds.map((one) => one.perHalf - one.perBare))
      const perDeletion = await deletionOf(database, count)
      figures.push(
        figure(`WAL above bare, body of ${bytes} bytes`, above, 180, 'at most', {
          ours: `${round(perHalf, 0)} B`,
          other: `${round(perBare, 0)} B`,
          notes: `the marker's deletion is ${round(perDeletion, 0)} B of it, the transaction itself writes ${round(above - perDeletion, 0)} B more than bare`,
        }),
      )
    }
    return figures
  } finally {
    await outbox.close()
    await database.end()
  }
}
