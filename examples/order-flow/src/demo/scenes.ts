import { setTimeout as sleep } from 'node:timers/promises'
import type { Child } from './child.ts'
import type { Outcome } from './input.ts'
import { column, counts, unannounced } from './observe.ts'
import type { Timeline } from './timeline.ts'
import type { World } from './world.ts'

/** What the scenes saw; the final table asks whether it all arrived. */
export interface Story {
  /** Committed by the process that was killed before it could say so. */
  cutOff: string[]
  /** Committed while there was no broker. */
  withoutBroker: string[]
}

const CUT_OFF_AT = 0.2
const CUT_OFF_SECONDS_MAX = 6
const BROKER_KILLED_AT = 0.55
const WITHOUT_BROKER = 0.12
const UNCONFIRMED_SECONDS_MAX = 5
const UNCONFIRMED_LEAST = 5
const QUIET_SECONDS = 1.5
const FINISH_SECONDS_MAX = 30

export class Scenes {
  readonly #world: World
  readonly #timeline: Timeline
  readonly #outcomes: Map<string, Outcome>

  constructor(world: World, timeline: Timeline, outcomes: Map<string, Outcome>) {
    this.#world = world
    this.#timeline = timeline
    this.#outcomes = outcomes
  }

  async setUp(): Promise<void> {
    const world = this.#world
    const starting = world.ownsBroker ? world.startBroker() : Promise.resolve()
    await Promise.all([world.startDatabase(), starting])
    await world.prepare()
    const { port } = new URL(world.databaseUrl)
    this.#timeline.say('demo', `Postgres on port ${port}, broker on ${world.nameServer}, tables and topics created`)
    await Promise.all([world.startService('stock').ready(), world.startService('billing').ready()])
    this.#timeline.say('demo', 'stock and billing listen')
  }

  /** SIGKILL of orders between COMMIT and END: another process of the same database answers when the broker asks. */
  async killServices(): Promise<string[]> {
    const world = this.#world
    const commits = this.#commitToDieAfter()
    // P11: the database has acknowledged the COMMIT, the broker does not know yet.
    const first = world.startService('orders', { TANDEM_FAILPOINT: `P11:kill@${commits}` })
    first.expectEnd()
    this.#timeline.say('orders', `started; ${this.#outcomes.size} orders come in, ${world.options.perSecond}/s`)
    const stock = await this.#killStock(first)
    const how = await this.#whileOrdersCome('the orders process dies', 60_000, async () => {
      return first.isRunning ? undefined : first.ended
    })
    if (how !== 'SIGKILL') throw new Error(`orders ended by itself (${how})`)
    this.#timeline.say('orders', `killed with SIGKILL right after COMMIT number ${commits}, before END`)
    const cutOff = await this.#quietCutOff()
    const held = `holds ${await this.#openHalves()}; ${cutOff.join(', ')} paid, nobody was told`
    this.#timeline.say('broker', cutOff.length > 0 ? held : 'has asked another process of the database already')
    const second = world.startService('orders')
    await Promise.all([second.ready(), stock.ready()])
    this.#timeline.say('orders', `started again (pid ${second.pid}), goes on where it was`)
    const deadline = this.#timeline.seconds + (world.ownsBroker ? 15 : 60)
    let open = cutOff
    await this.#whileOrdersCome('check-back of the orders cut off', 90_000, async () => {
      const waiting = await unannounced(world.knex)
      open = cutOff.filter((id) => waiting.includes(id))
      return open.length === 0 || this.#timeline.seconds > deadline
    })
    if (open.length === 0)
      this.#timeline.say('broker', `asked a living process; ${cutOff.join(', ')} arrived in stock and billing`)
    else this.#timeline.say('broker', `nobody was told of ${open.join(', ')} in time`)
    return cutOff
  }

  /** SIGKILL of the broker; orders go on through the outbox table until it is back. */
  async killBroker(): Promise<string[]> {
    const world = this.#world
    const paid = `select id from orders where status = 'paid'`
    const killAt = this.#outcomes.size * BROKER_KILLED_AT
    await this.#whileOrdersCome('half of the orders', 120_000, async () => (await counts(world.knex)).handled >= killAt)
    if (!world.ownsBroker) return []
    await world.children.get('broker')?.kill()
    const before = new Set(await column(world.knex, paid))
    this.#timeline.say('broker', 'killed with SIGKILL; orders keep coming')
    const enough = Math.max(4, Math.round(this.#outcomes.size * WITHOUT_BROKER))
    const taken = await this.#whileOrdersCome('orders without a broker', 20_000, async () => {
      const now = (await column(world.knex, paid)).filter((id) => !before.has(id))
      return now.length >= enough && now
    })
    const rows = await column(world.knex, 'select id::text from tandem.outbox')
    if (rows.length === 0) throw new Error('there is no broker, and yet no message waits in Postgres')
    this.#timeline.say(
      'orders',
      `took ${taken.length} paid orders without it; ${rows.length} messages wait in Postgres`,
    )
    await world.startBroker()
    this.#timeline.say('broker', 'started again on the same directory and port')
    return taken
  }

  /** Until everything has arrived and nothing moves any more; after 30 s the table says what is missing. */
  async letThemFinish(): Promise<void> {
    const { knex } = this.#world
    const wanted = this.#outcomes.size
    await this.#whileOrdersCome('every order', 120_000, async () => (await counts(knex)).handled >= wanted)
    this.#timeline.say('orders', 'all of the file placed or rejected')
    const deadline = this.#timeline.seconds + FINISH_SECONDS_MAX
    let last = ''
    let quietSince = 0
    await this.#whileOrdersCome('services that come to rest', 60_000, async () => {
      const now = this.#timeline.seconds
      const state = JSON.stringify([await counts(knex), await this.#unfinished()])
      if (state !== last) quietSince = now
      last = state
      // Quiet for a while: a duplicate on its way would be seen in the table.
      return now > deadline || ((await this.#unfinished()) === 0 && now - quietSince > QUIET_SECONDS)
    })
    this.#timeline.endProgress()
  }

  /** SIGKILL when it has worked off messages the broker has no confirmation of: they come again, the inbox skips them. */
  async #killStock(orders: Child): Promise<Child> {
    const begun = this.#timeline.seconds
    const { unconfirmed } = await this.#whileOrdersCome('messages stock has not confirmed', 30_000, async () => {
      const queues = await this.#world.admin.progress('stock')
      const open = queues.reduce((sum, queue) => sum + Number(queue.maxOffset - queue.committedOffset), 0)
      // On a slow machine the orders may have run out before, and the process that takes them is killed next.
      const isLate = !orders.isRunning || this.#timeline.seconds - begun > UNCONFIRMED_SECONDS_MAX
      return (open >= UNCONFIRMED_LEAST || isLate) && { unconfirmed: open }
    })
    await this.#world.children.get('stock')?.kill()
    this.#timeline.say('stock', `killed with SIGKILL; ${unconfirmed} messages it had not confirmed will come again`)
    return this.#world.startService('stock')
  }

  async #whileOrdersCome<T>(what: string, timeoutMs: number, look: () => Promise<T | undefined | false>): Promise<T> {
    return this.#world.until(what, timeoutMs, async () => {
      const { handled, shipped, billed } = await counts(this.#world.knex)
      this.#timeline.progress(handled, this.#outcomes.size, `${shipped} shipped, ${billed} billed`)
      return look()
    })
  }

  /** Which commit: that of a paid order with no delayed message near it (those take the way through the table). */
  #commitToDieAfter(): number {
    const all = [...this.#outcomes.values()]
    const from = Math.ceil(all.length * CUT_OFF_AT)
    const at = all.findIndex(
      (outcome, index) => index >= from && outcome === 'paid' && !all.slice(index - 3, index + 4).includes('cancelled'),
    )
    return all.slice(0, at + 1).filter((outcome) => outcome !== 'invalid' && outcome !== 'over-credit').length
  }

  /** What was sent before the kill has arrived when nothing changes any more; soon any process of the database is asked. */
  async #quietCutOff(): Promise<string[]> {
    const { knex } = this.#world
    let last = ''
    const deadline = this.#timeline.seconds + CUT_OFF_SECONDS_MAX
    return this.#world.until('orders nobody was told of', 15_000, async () => {
      await sleep(200)
      const ids = await unannounced(knex)
      const isQuiet = ids.length > 0 && ids.join() === last
      last = ids.join()
      return (isQuiet || this.#timeline.seconds > deadline) && ids
    })
  }

  async #openHalves(): Promise<string> {
    if (!this.#world.ownsBroker) return 'half messages'
    const open = await this.#world.admin.transactions()
    return `${open.length} half message${open.length === 1 ? '' : 's'} (${open.map(({ keys }) => keys).join(', ')})`
  }

  /** Unpaid orders, messages in the outbox table, effects not there yet, messages to be tried again. */
  async #unfinished(): Promise<number> {
    const { knex, admin } = this.#world
    const is = (...wanted: Outcome[]): number =>
      [...this.#outcomes.values()].filter((one) => wanted.includes(one)).length
    const effects = [
      [is('paid'), 'select order_id from shipments'],
      [is('paid', 'poison'), 'select order_id from invoices'],
      [is('cancelled'), 'select order_id from cancellation_letters'],
    ] as const
    let open = (
      await column(knex, "select id from orders where status = 'unpaid' union all select id::text from tandem.outbox")
    ).length
    for (const [wanted, sql] of effects) open += Math.max(0, wanted - (await column(knex, sql)).length)
    for (const group of ['stock', 'billing', 'billing-letters', 'orders-deadlines']) {
      for (const { topic, maxOffset, committedOffset } of await admin.progress(group)) {
        if (topic.startsWith('%RETRY%') && committedOffset < maxOffset) open++
      }
    }
    return open
  }
}
