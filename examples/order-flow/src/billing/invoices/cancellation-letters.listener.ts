import { MessageListener, TandemTemplate } from '@tandemmq/nestjs'
import type { Order } from '../../shared/order.ts'
import { orders } from '../../shared/topics.ts'

/** A group of its own: a group has one subscription per topic, and the invoices want other tags. */
@MessageListener({ topic: orders, group: 'billing-letters', tags: ['cancelled'], inbox: true })
export class CancellationLettersListener {
  constructor(private readonly tandem: TandemTemplate) {}

  async onMessage({ id }: Order): Promise<void> {
    await this.tandem.transaction((trx) => trx('cancellation_letters').insert({ order_id: id }))
  }
}
