import { MessageListener, TandemTemplate } from '@tandemmq/nestjs'
import type { Order } from '../../shared/order.ts'
import { orders } from '../../shared/topics.ts'

@MessageListener({ topic: orders, group: 'billing', tags: ['paid'], inbox: true })
export class InvoicesListener {
  constructor(private readonly tandem: TandemTemplate) {}

  async onMessage({ id, amount }: Order): Promise<void> {
    await this.tandem.transaction((trx) => trx('invoices').insert({ order_id: id, amount }))
  }
}
