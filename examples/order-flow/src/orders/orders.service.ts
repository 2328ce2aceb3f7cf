import { Inject, Injectable } from '@nestjs/common'
import { TandemTemplate } from '@tandemmq/nestjs'
import type { Order } from '../shared/order.ts'
import { PAYMENT_TIME_MS } from './payment-time.ts'

/** The customer would owe more than was agreed. */
export class CreditExceeded extends Error {}

@Injectable()
export class OrdersService {
  constructor(@Inject(TandemTemplate) private readonly tandem: TandemTemplate) {}

  /**
   * Writes an order and announces it, both or neither. The message is on its way before the statements run: whatever
   * refuses the order below (an amount that is none, an unknown customer, the credit) takes it back.
   */
  async place(order: Order): Promise<void> {
    await this.tandem.transaction(async (trx) => {
      const isPaid = order.payment === 'card'
      if (isPaid) this.tandem.enqueue({ topic: 'orders', tag: 'paid', keys: [order.id], body: order })
      else {
        const deadline = { topic: 'payment-deadlines', keys: [order.id], body: { order: order.id } }
        this.tandem.enqueue({ ...deadline, delayMs: PAYMENT_TIME_MS })
      }
      const { id, customer, amount } = order
      await trx('orders').insert({ id, customer, amount, status: isPaid ? 'paid' : 'unpaid' })
      const booked = await trx('customers')
        .where({ id: customer })
        .whereRaw('booked + ? <= credit', [amount])
        .update({ booked: trx.raw('booked + ?', [amount]) })
      if (booked === 0) throw new CreditExceeded(`order ${id} over ${amount} is above the credit of ${customer}`)
    })
  }

  /** Cancels the order if nobody has paid it, and tells billing; else does nothing, so a repeat is harmless. */
  async cancelUnpaid(id: string): Promise<void> {
    await this.tandem.transaction(async (trx) => {
      const [order] = await trx('orders')
        .where({ id, status: 'unpaid' })
        .update({ status: 'cancelled', cancelled_at: trx.fn.now() })
        .returning(['customer', 'amount'])
      if (order === undefined) return
      await trx('customers').where({ id: order.customer }).decrement('booked', order.amount)
      this.tandem.enqueue({ topic: 'orders', tag: 'cancelled', keys: [id], body: { id, customer: order.customer } })
    })
  }
}
