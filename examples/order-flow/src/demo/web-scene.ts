import { readCsv } from '../shared/csv.ts'
import { inputFile, type Outcome } from './input.ts'
import type { Timeline } from './timeline.ts'
import { newTrace, WebShop } from './web-shop.ts'
import { services, type World } from './world.ts'

/** What the HTTP endpoints answered; the final table compares it. */
export interface WebStory {
  /** `W-8 409` and so on. */
  refused: string[]
  /** `orders: 4890`: which process names which price after the change. */
  pricesHeard: string[]
  newCents: number
  /** Trace of the first order. */
  traceId: string
}

export const ordersProcesses = ['orders', 'orders-2'] as const
const paidAtOnce = ['W-2', 'W-3', 'W-4', 'W-5', 'W-6']

/** What becomes of the orders of this scene, as outcomes.csv says it of those in the file. */
export const webOutcomes = new Map<string, Outcome>([
  ['W-1', 'paid'],
  ...paidAtOnce.map((id) => [id, 'paid'] as const),
  ['W-7', 'cancelled'],
])

export const refusedOverHttp = ['W-1 409', 'W-8 409', 'W-9 400']

/** Customers at the web shop: real HTTP against both processes of orders. */
export class WebScene {
  readonly #world: World
  readonly #timeline: Timeline
  readonly #shop: WebShop
  readonly #customer: string
  readonly #articles: Record<string, string>[]

  constructor(world: World, timeline: Timeline) {
    this.#world = world
    this.#timeline = timeline
    this.#shop = new WebShop(world)
    const customers = readCsv(inputFile(world.options, 'customers.csv'))
    this.#customer = customers.toSorted((a, b) => Number(b['credit']) - Number(a['credit']))[0]?.['id'] ?? ''
    this.#articles = readCsv(inputFile(world.options, 'articles.csv'))
  }

  /** Stock announces its price list: every process of orders hears it, also those that start later. */
  async setPrices(): Promise<void> {
    for (const { sku, price } of this.#articles) {
      const cents = Math.round(Number(price) * 100)
      await this.#shop.expect(200, 'PUT', 'stock', `/articles/${sku}/price`, { cents })
    }
    this.#timeline.say('stock', `has told ${this.#articles.length} prices`)
  }

  async play(): Promise<WebStory> {
    await this.#world.startService('orders-2').ready()
    await this.#until('both processes of orders have every price', (heard) =>
      heard.every((prices) => this.#articles.every(({ sku = '' }) => sku in prices)),
    )
    // First of all, because its time to pay begins.
    await this.#shop.expect(201, 'POST', 'orders', '/orders', this.#order('W-7', 'transfer'))
    const { traceId, headers } = newTrace()
    const placed = await this.#shop.expect(201, 'POST', 'orders-2', '/orders', this.#order('W-1', 'card'), headers)
    const { amount } = placed as { amount: string }
    this.#timeline.say('web shop', `POST /orders: 201, W-1 over ${amount}; stock was asked what is on hand`)
    for (const id of paidAtOnce) {
      await this.#shop.expect(201, 'POST', 'orders', '/orders', this.#order(id, 'transfer'))
      await this.#shop.expect(200, 'POST', 'orders-2', `/orders/${id}/payment`)
    }
    this.#timeline.say('web shop', `${paidAtOnce.join(', ')} placed at one process and paid at another at once`)
    const refused = [
      await this.#refusal(this.#order('W-1', 'card')),
      await this.#refusal(this.#order('W-8', 'card', 1_000_000)),
      await this.#refusal(this.#order('W-9', 'card', 0)),
    ]
    this.#timeline.say('web shop', `refused: ${refused.join(', ')} (there already, not on hand, no quantity)`)
    return { refused, traceId, ...(await this.#changePrice()) }
  }

  /** Services whose health page says that all is well. */
  async healthy(): Promise<string[]> {
    const pages = await Promise.all(services.map(async (name) => [name, await this.#shop.health(name)] as const))
    return pages.filter(([, status]) => status === 200).map(([name]) => name)
  }

  /** Asks until it says 503, for a moment. @returns what it said last */
  async healthWithoutBroker(): Promise<string> {
    let status: number | undefined
    const deadline = this.#timeline.seconds + 5
    await this.#world.until('a health page that is red', 10_000, async () => {
      status = await this.#shop.health('orders')
      return status === 503 || this.#timeline.seconds > deadline
    })
    return String(status)
  }

  async #changePrice(): Promise<Pick<WebStory, 'newCents' | 'pricesHeard'>> {
    const [{ sku = '', price } = {}] = this.#articles
    const newCents = Math.round(Number(price) * 100) - 100
    await this.#shop.expect(200, 'PUT', 'stock', `/articles/${sku}/price`, { cents: newCents })
    const heard = await this.#until('the new price', (found) => found.every((prices) => prices[sku] === newCents))
    this.#timeline.say('stock', `PUT /articles/${sku}/price: both processes of orders have heard of ${newCents}`)
    return { newCents, pricesHeard: heard.map((prices, index) => `${ordersProcesses[index]}: ${prices[sku]}`) }
  }

  /** Price lists of both processes, when they are right or after 10 s. */
  async #until(what: string, isRight: (heard: Record<string, number>[]) => boolean): Promise<Record<string, number>[]> {
    const deadline = this.#timeline.seconds + 10
    return this.#world.until(what, 15_000, async () => {
      const asked = ordersProcesses.map((process) => this.#shop.expect(200, 'GET', process, '/prices'))
      const lists = (await Promise.all(asked)) as Record<string, number>[]
      return (isRight(lists) || this.#timeline.seconds > deadline) && lists
    })
  }

  async #refusal(order: { id: string }): Promise<string> {
    const { status } = await this.#shop.call('POST', 'orders', '/orders', order)
    return `${order.id} ${status}`
  }

  #order(id: string, payment: string, quantity = 2) {
    const items = [{ sku: this.#articles[0]?.['sku'] ?? '', quantity }]
    return { id, customer: this.#customer, items, payment }
  }
}
