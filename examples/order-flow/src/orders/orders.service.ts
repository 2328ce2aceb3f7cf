import { ConflictException, Inject, Injectable, NotFoundException } from '@nestjs/common'
import { ConfigService } from '@nestjs/config'
import { TandemTemplate } from '@tandemmq/nestjs'
import type { Knex } from 'knex'
import { KNEX } from '../shared/database/database.module.ts'
import type { Order } from '../shared/order.ts'
import type { Settings } from '../shared/settings.ts'
import { orders, paymentDeadlines } from '../shared/topics.ts'
import { CreditExceeded } from './credit-exceeded.ts'

export type OrderState = Order & { status: 'unpaid' | 'paid' | 'cancelled' }
type OrderRow = OrderState & { cancelled_at: Date | null }

const columns = ['id', 'customer', 'items', 'amount', 'payment', 'status'] as const

@Injectable()
export class OrdersService {
  constructor(
    @Inject(KNEX) private readonly knex: Knex,
    private readonly tandem: TandemTemplate,
    private readonly config: ConfigService<Settings, true>,
  ) {}

  async find(id: string): Promise<OrderState> {
    const order = await this.knex<OrderRow>('orders')
      .where({ id })
      .first(...columns)
    if (order === undefined) throw new NotFoundException(`no order ${id}`)
    return order
  }

  /**
   * Writes an order and announces it, both or neither. The messages are on their way before the statements run: whatever
   * refuses the order below (an amount that is none, an unknown customer, the credit) takes them back.
   */
  async place(order: Order): Promise<void> {
    const { id, customer, amount, items, payment } = order
    const isPaid = payment === 'card'
    await this.tandem.transaction(async (trx) => {
      this.announce('placed', order)
      if (isPaid) this.announce('paid', order)
      else this.startPaymentDeadline(id)
      const status = isPaid ? 'paid' : 'unpaid'
      await trx('orders').insert({ id, customer, amount, items: JSON.stringify(items), payment, status })
      const booked = await trx('customers')
        .where({ id: customer })
        .whereRaw('booked + ? <= credit', [amount])
        .update({ booked: trx.raw('booked + ?', [amount]) })
      if (booked === 0) throw new CreditExceeded(`order ${id} over ${amount} is above the credit of ${customer}`)
    })
  }

  async pay(id: string): Promise<OrderState> {
    return this.tandem.transaction(async (trx) => {
      const [order] = await trx<OrderRow>('orders')
        .where({ id, status: 'unpaid' })
        .update({ status: 'paid' })
        .returning(columns)
      if (order === undefined) throw new ConflictException(`no order ${id} waits for its payment`)
      this.announce('paid', order)
      return order
    })
  }

  /** Cancels the order if nobody has paid it, and announces that; else does nothing, so a repeat is harmless. */
  async cancelUnpaid(id: string): Promise<void> {
    await this.tandem.transaction(async (trx) => {
      const [order] = await trx<OrderRow>('orders')
        .where({ id, status: 'unpaid' })
        .update({ status: 'cancelled', cancelled_at: trx.fn.now() })
        .returning(columns)
      if (order === undefined) return
      await trx('customers').where({ id: order.customer }).decrement('booked', Number(order.amount))
      this.announce('cancelled', order)
    })
  }

  /** What happens to one order is heard in the order in which it happened: `orderBy`. */
  private announce(event: 'placed' | 'paid' | 'cancelled', order: Order): void {
    this.tandem.enqueue(orders, order, { tag: event, keys: [order.id], orderBy: order.id })
  }

  private startPaymentDeadline(orderId: string): void {
    const delayMs = this.config.get('PAYMENT_TIME_MS', { infer: true })
    this.tandem.enqueue(paymentDeadlines, { orderId }, { keys: [orderId], delayMs })
  }
}
