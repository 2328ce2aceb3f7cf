// Negative controls: designs known to be wrong, put in the place of the outbox by the harness, which must notice every one.
//   half-first     half message before the transaction, check-back by a plain SELECT: the usual listener
//   xid-status     check-back by pg_xact_status alone: a crash of Postgres gives the number to somebody else
//   tag-unchecked  the outbox, but COMMIT counts whatever its tag says
//   end-first      the outbox, but END leaves before the answer to COMMIT is there
import { TransactionProducer } from '@tandemmq/client'
import { Outbox } from '@tandemmq/outbox'

/** What stands in for the outbox, with its interface; undefined for `outbox` itself. */
export function controlOf(design, options) {
  if (design === 'outbox') return undefined
  if (design === 'half-first') return new ListenerControl(options, selectOrder)
  if (design === 'xid-status') return new ListenerControl(options, askXidStatus)
  const lie = { 'tag-unchecked': uncheckedTag, 'end-first': unreadAnswer }[design]
  if (lie === undefined) throw new Error(`no control ${design}`)
  return new Outbox({ ...options, database: lyingPool(options.database, lie), halfTimeoutMs: 500 })
}

// Under the number of the marker, or the outbox would notice that its transaction is another one.
const committed = (xid) => [{ rows: [{ xid }] }, { command: 'COMMIT', rows: [], rowCount: null }]

/** COMMIT of a transaction that failed is answered ROLLBACK, and an error before it aborts it: neither is looked at. */
async function uncheckedTag(query, xid) {
  await query('commit')
  return committed(xid)
}

async function unreadAnswer(query, xid) {
  query('commit').catch(() => {})
  return committed(xid)
}

const isCommit = (text) => typeof text === 'string' && /;\s*commit[;\s]*$/i.test(text)

/** A pool whose connections answer COMMIT as `lie` does. */
function lyingPool(pool, lie) {
  const connect = pool.connect.bind(pool)
  pool.connect = async () => {
    const client = await connect()
    if (Object.hasOwn(client, 'query')) return client
    const query = client.query.bind(client)
    let xid
    client.query = (text, ...rest) => {
      if (isCommit(text)) return lie(query, xid)
      const answer = query(text, ...rest)
      answer?.then?.(
        (results) => (xid = [results].flat().at(-1)?.rows?.[0]?.xid ?? xid),
        () => {},
      )
      return answer
    }
    return client
  }
  return pool
}

async function selectOrder(pool, message) {
  const { rowCount } = await pool.query('select 1 from orders where id = $1', [message.properties.ORDER])
  return rowCount > 0 ? 'commit' : 'rollback'
}

async function askXidStatus(pool, message) {
  const { rows } = await pool
    .query('select pg_xact_status($1::text::xid8) as status', [message.properties.XID])
    // A number not given out yet: its transaction is gone with the crash.
    .catch((error) => (error.code === '22023' ? { rows: [{ status: 'aborted' }] } : Promise.reject(error)))
  return { committed: 'commit', aborted: 'rollback' }[rows[0].status] ?? 'unknown'
}

/** Half, local transaction, END; the check-back as `check` does it. */
class ListenerControl {
  #pool
  #producer

  constructor({ database, nameServers, network, group }, check) {
    this.#pool = database
    this.#producer = new TransactionProducer({
      ...{ nameServers, network, group },
      check: (message) => check(database, message),
    })
  }

  start() {
    return this.#producer.start()
  }

  async close() {
    await this.#producer.close()
    await this.#pool.end()
  }

  stats() {
    return { anomalies: 0 }
  }

  async transaction(run) {
    const client = await this.#pool.connect()
    client.on('error', () => {})
    const sending = []
    try {
      await client.query('begin')
      const { rows } = await client.query('select pg_current_xact_id()::text as xid')
      const send = (message) => {
        const properties = { XID: rows[0].xid, ORDER: message.body.slice(0, message.body.indexOf('#')) }
        const half = this.#producer.prepare({ ...message, delayMs: undefined, properties })
        half.catch(() => {})
        sending.push(half)
      }
      await run(client, { send })
      await Promise.all(sending)
    } catch (error) {
      const isAlive = await client.query('rollback').then(
        () => true,
        () => false,
      )
      client.release(!isAlive)
      // Whose connection broke does not know: the check-back decides.
      if (isAlive) await this.#end(sending, 'rollback')
      throw error
    }
    const { command } = await client.query('commit').catch((error) => {
      client.release(true)
      throw error
    })
    client.release()
    await this.#end(sending, command === 'COMMIT' ? 'commit' : 'rollback')
    if (command !== 'COMMIT') throw new Error('rolled back')
  }

  async #end(sending, decision) {
    const halves = await Promise.allSettled(sending)
    const ends = halves.flatMap(({ value }) => (value === undefined ? [] : [{ prepared: value, decision }]))
    await this.#producer.endMany(ends).catch(() => {})
  }
}
