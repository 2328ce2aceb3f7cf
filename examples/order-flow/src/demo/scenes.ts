import { setTimeout as sleep } from 'node:timers/promises'
import type { Child } from './child.ts'
import type { Outcome } from './input.ts'
import { column, counts, unannounced, whileOrdersCome } from './observe.ts'
import type { Story } from './story.ts'
import type { Timeline } from './timeline.ts'
import type { WebScene } from './web-scene.ts'
import type { World } from './world.ts'

const CUT_OFF_AT = 0.2
const CUT_OFF_SECONDS_MAX = 6
const BROKER_KILLED_AT = 0.55
const WITHOUT_BROKER = 0.12
const UNCONFIRMED_SECONDS_MAX = 5
const UNCONFIRMED_LEAST = 5

/** The processes of the story, and what is killed of them. */
export class Scenes {
  readonly #world: World
  readonly #timeline: Timeline
  readonly #web: WebScene
  readonly #outcomes: Map<string, Outcome>

  constructor(world: World, timeline: Timeline, web: WebScene, outcomes: Map<string, Outcome>) {
    this.#world = world
    this.#timeline = timeline
    this.#web = web
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
    await this.#web.setPrices()
  }

  /** SIGKILL of orders between COMMIT and END: another process of the same database answers when the broker asks. */
  async killServices(): Promise<string[]> {
    const world = this.#world
    const commits = this.#commitToDieAfter()
    // P11: the database has acknowledged the COMMIT, the broker does not know yet.
    const failpoint = { TANDEM_FAILPOINT: `P11:kill@${commits}` }
    const first = world.startService('orders', { ...world.ordersToImport, ...failpoint })
    first.expectEnd()
    this.#timeline.say('orders', `started; ${this.#outcomes.size} orders come in, ${world.options.perSecond}/s`)
    const stock = await this.#killStock(first)
    const how = await this.#until('the orders process dies', 60_000, async () => {
      return first.isRunning ? undefined : first.ended
    })
    if (how !== 'SIGKILL') throw new Error(`orders ended by itself (${how})`)
    this.#timeline.say('orders', `killed with SIGKILL right after COMMIT number ${commits}, before END`)
    const cutOff = await this.#quietCutOff()
    const held = `holds ${await this.#openHalves()}; ${cutOff.join(', ')} paid, nobody was told`
    this.#timeline.say('broker', cutOff.length > 0 ? held : 'has asked another process of the database already')
    const second = world.startService('orders', world.ordersToImport)
    await Promise.all([second.ready(), stock.ready()])
    this.#timeline.say('orders', `started again (pid ${second.pid}), goes on where it was`)
    return cutOff
  }

  /** The broker asks the living process what became of `cutOff`. */
  async awaitCheckBack(cutOff: readonly string[]): Promise<void> {
    const world = this.#world
    const deadline = this.#timeline.seconds + (world.ownsBroker ? 15 : 60)
    let open = [...cutOff]
    await this.#until('check-back of the orders cut off', 90_000, async () => {
      const waiting = await unannounced(world.knex)
      open = cutOff.filter((id) => waiting.includes(id))
      return open.length === 0 || this.#timeline.seconds > deadline
    })
    if (open.length === 0)
      this.#timeline.say('broker', `asked a living process; ${cutOff.join(', ')} arrived in stock and billing`)
    else this.#timeline.say('broker', `nobody was told of ${open.join(', ')} in time`)
  }

  /** SIGKILL of the broker, or of the way to one that is not ours; orders go on through the outbox table until it is back. */
  async takeBrokerAway(): Promise<Pick<Story, 'withoutBroker' | 'healthWithoutBroker'>> {
    const world = this.#world
    const paid = `select id from orders where status = 'paid'`
    const killAt = this.#outcomes.size * BROKER_KILLED_AT
    await this.#until('half of the orders', 120_000, async () => (await counts(world.knex)).handled >= killAt)
    if (world.ownsBroker) await world.children.get('broker')?.kill()
    else world.children.get('orders')?.cutOff(await world.brokerPorts())
    const before = new Set(await column(world.knex, paid))
    const how = world.ownsBroker ? 'killed with SIGKILL' : 'is not ours to kill: its connections to orders are cut'
    this.#timeline.say('broker', `${how}; orders keep coming`)
    const enough = Math.max(4, Math.round(this.#outcomes.size * WITHOUT_BROKER))
    const taken = await this.#until('orders without a broker', 20_000, async () => {
      const now = (await column(world.knex, paid)).filter((id) => !before.has(id))
      const isLast = now.length > 0 && (await counts(world.knex)).handled >= this.#outcomes.size
      return (now.length >= enough || isLast) && now
    })
    const health = await this.#web.healthWithoutBroker()
    this.#timeline.say('orders', `GET /health: ${health}`)
    const rows = await column(world.knex, 'select id::text from tandem.outbox')
    const waiting = `took ${taken.length} paid orders without it; ${rows.length} messages wait in Postgres`
    if (!world.ownsBroker) this.#timeline.say('orders', `${waiting}, the others were sent by stock and billing`)
    else if (rows.length > 0) this.#timeline.say('orders', waiting)
    else throw new Error('there is no broker, and yet no message waits in Postgres')
    if (world.ownsBroker) await world.startBroker()
    else world.children.get('orders')?.cutOff([])
    this.#timeline.say(
      'broker',
      world.ownsBroker ? 'started again on the same directory and port' : 'can be reached again',
    )
    return { withoutBroker: taken, healthWithoutBroker: [health] }
  }

  /** SIGKILL when it has worked off messages the broker has no confirmation of: they come again, the inbox skips them. */
  async #killStock(orders: Child): Promise<Child> {
    const begun = this.#timeline.seconds
    const { unconfirmed } = await this.#until('messages stock has not confirmed', 30_000, async () => {
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

  #until<T>(what: string, timeoutMs: number, look: () => Promise<T | undefined | false>): Promise<T> {
    return whileOrdersCome(this.#world, this.#timeline, this.#outcomes.size, { what, timeoutMs }, look)
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
    const of = [...new Set(open.map(({ keys }) => keys))].join(', ')
    return `${open.length} half message${open.length === 1 ? '' : 's'} (${of})`
  }
}
