import { setTimeout as sleep } from 'node:timers/promises'
import { Inject, Injectable, Logger } from '@nestjs/common'
import type { BeforeApplicationShutdown, OnApplicationBootstrap } from '@nestjs/common'
import { type Knex } from 'knex'
import { readCsv } from '../shared/csv.ts'
import { KNEX } from '../shared/database.module.ts'
import { environment } from '../shared/environment.ts'
import type { Order } from '../shared/order.ts'
import { CreditExceeded, OrdersService } from './orders.service.ts'

const UNIQUE_VIOLATION = '23505'
const RETRY_MS = 500

/**
 * Places the orders of a file as they came in. Started again, it goes on where it was: what is in the tables was done,
 * however the process before it ended.
 */
@Injectable()
export class OrderImport implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger('OrderImport')
  private readonly stop = new AbortController()
  private work: Promise<void> = Promise.resolve()

  constructor(
    @Inject(KNEX) private readonly knex: Knex,
    @Inject(OrdersService) private readonly orders: OrdersService,
  ) {}

  onApplicationBootstrap(): void {
    this.work = this.run().catch((error: unknown) => {
      if (!this.stop.signal.aborted) this.logger.error('the import ended early', error)
    })
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.stop.abort()
    await this.work
  }

  private async run(): Promise<void> {
    const done = await this.done()
    const pauseMs = 1_000 / Number(environment('ORDERS_PER_SECOND'))
    // One customer's orders one after the other (each depends on the credit the last one left), customers side by side.
    const lastOf = new Map<string, Promise<void>>()
    for (const order of readOrders()) {
      if (done.has(order.id)) continue
      await sleep(pauseMs, undefined, { signal: this.stop.signal })
      const before = lastOf.get(order.customer) ?? Promise.resolve()
      lastOf.set(
        order.customer,
        before.then(() => this.place(order)),
      )
    }
    await Promise.all(lastOf.values())
    this.logger.log('every order of the file is placed or rejected')
  }

  private async done(): Promise<Set<string>> {
    const rows = await this.knex('orders').select('id').union(this.knex('rejected_orders').select('id'))
    return new Set(rows.map(({ id }) => id))
  }

  /** Until it is decided: an error that says nothing about the order is no reason to lose it. */
  private async place(order: Order): Promise<void> {
    while (!this.stop.signal.aborted) {
      try {
        return await this.orders.place(order)
      } catch (error) {
        const { code, message } = error as { code?: string; message: string }
        if (code === UNIQUE_VIOLATION) return this.logger.log(`${order.id} is in the file twice`)
        if (isRefusal(error, code)) {
          this.logger.log(`${order.id} rejected: ${message}`)
          await this.knex('rejected_orders').insert({ id: order.id, reason: message }).onConflict('id').ignore()
          return
        }
        this.logger.warn(`${order.id} is tried again: ${message}`)
        await sleep(RETRY_MS, undefined, { signal: this.stop.signal }).catch(() => {})
      }
    }
  }
}

/** SQLSTATE classes 22 (a value that cannot be) and 23 (a constraint): no repeat would help. */
function isRefusal(error: unknown, code: string | undefined): boolean {
  return error instanceof CreditExceeded || /^2[23]\w{3}$/.test(code ?? '')
}

function readOrders(): Order[] {
  const rows = readCsv(environment('ORDERS_FILE')).slice(0, Number(environment('ORDERS_MAX')))
  return rows.map(({ id = '', customer = '', items = '', amount = '', payment }) => ({
    id,
    customer,
    items: items.split(' ').map((item) => {
      const [sku = '', quantity] = item.split(':')
      return { sku, quantity: Number(quantity) }
    }),
    amount,
    payment: payment === 'transfer' ? 'transfer' : 'card',
  }))
}
