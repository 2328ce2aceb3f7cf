// The transactions of the chaos run. An order commits together with the number of its messages: `<id>#0` to `<id>#<n - 1>`.
// A message `<id>#9` belongs to a savepoint that is rolled back, and must never arrive.
import { setTimeout as pause } from 'node:timers/promises'

const ENTITIES = 48

/** What share of the transactions is of each kind; the same numbers for every design. */
const usual = {
  rollBack: 0.1,
  swallow: 0.03,
  defer: 0.02,
  slow: 0.02,
  slowMs: 700,
  savepoint: 0.06,
  ordered: 0.1,
  delayed: 0.03,
}

export class OrderMaker {
  #state
  #mix
  #isKnex
  #gate

  constructor({ isKnex, seed, gate, ...mix }) {
    this.#isKnex = isKnex
    this.#gate = gate
    this.#state = seed >>> 0
    this.#mix = { ...usual, ...mix }
  }

  #random() {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0
    return this.#state / 4_294_967_296
  }

  make(id) {
    const mix = this.#mix
    const is = (share) => this.#random() < share
    const plan = {
      id,
      messages: mix.messages ?? (is(0.7) ? 1 : 2 + Math.floor(this.#random() * 3)),
      rollBack: is(mix.rollBack),
      swallow: is(mix.swallow),
      defer: is(mix.defer),
      pauseMs: is(mix.slow) ? this.#random() * mix.slowMs : 0,
      savepoint: is(mix.savepoint),
      entity: is(mix.ordered) ? Math.floor(this.#random() * ENTITIES) : -1,
      prefix: mix.prefix ?? '',
      delayMs: is(mix.delayed) ? 100 + Math.floor(this.#random() * 1_400) : 0,
    }
    // Messages of one key follow the commits only if they leave while the row of the key is locked.
    const mode = mix.mode ?? (plan.entity >= 0 || is(0.5) ? 'late' : 'eager')
    return { mode, run: (trx, messages) => this.#run(plan, trx, messages) }
  }

  async #run(plan, trx, outgoing) {
    const { id, messages } = plan
    const query = this.#isKnex
      ? (sql, values) => trx.raw(sql.replaceAll(/\$\d/g, '?'), values)
      : (sql, values) => trx.query(sql, values)
    const version = plan.entity < 0 ? 0 : await lockEntity(query, plan.entity)
    await query('insert into orders (id, messages) values ($1, $2)', [id, messages])
    for (let n = 0; n < messages; n++) outgoing.send(messageOf(plan, n, version))
    if (plan.savepoint) await this.#savepoint(plan, trx, query, outgoing)
    if (plan.pauseMs > 0) await pause(plan.pauseMs)
    await this.#gate?.inside()
    if (plan.defer) {
      await query('insert into unique_later values ($1)', [id])
      await query('insert into unique_later values ($1)', [id])
    }
    if (plan.swallow) await query('select 1/0', []).catch(() => {})
    if (plan.rollBack) throw new Error('above credit')
  }

  async #savepoint(plan, trx, query, outgoing) {
    if (!this.#isKnex) {
      await query('savepoint inner_part', [])
      await query('insert into orders (id, messages) values ($1, 0)', [plan.id]).catch(() => {})
      await query('rollback to savepoint inner_part', [])
      return
    }
    await trx
      .transaction(async (inner) => {
        outgoing.send(messageOf({ ...plan, delayMs: 0, entity: -1 }, 9, 0))
        await inner.raw('select 1')
        throw new Error('only the inner part')
      })
      .catch(() => {})
  }
}

async function lockEntity(query, entity) {
  const { rows } = await query('update entities set version = version + 1 where id = $1 returning version', [entity])
  return rows[0].version
}

function messageOf({ id, entity, delayMs, prefix }, n, version) {
  const body = `${id}#${n} ${Date.now()} ${entity} ${version}`
  if (entity >= 0) return { topic: `${prefix}entities`, orderBy: `e${entity}`, body }
  const topic = `${prefix}orders`
  return delayMs > 0 ? { topic, body, delayMs } : { topic, body }
}
