// What a message adds to the write-ahead log of a transaction, marker, its deletion and all, at two sizes of its body. No clock
// is involved: bytes are bytes on a busy machine too.
import { figure, round } from './numbers.mjs'
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

export async function wal(world, { smoke }) {
  const count = smoke ? 50 : 2_000
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
      const perBare = (await walOf(database, () => times(count, () => bare(database)))) / count
      const perHalf = (await walOf(database, withMarkers(body, count))) / count
      figures.push(
        figure(`WAL above bare, body of ${bytes} bytes`, perHalf - perBare, 180, 'at most', {
          ours: `${round(perHalf, 0)} B`,
          other: `${round(perBare, 0)} B`,
        }),
      )
    }
    return figures
  } finally {
    await outbox.close()
    await database.end()
  }
}
