import { MessageListener, RejectMessage, TandemTemplate } from '@tandemmq/nestjs'
import type { Order } from '../../shared/order.ts'
import { orders } from '../../shared/topics.ts'

/** Takes the articles off the shelf and notes the shipment; `inbox` makes a message that comes twice have one effect. */
@MessageListener({ topic: orders, group: 'stock', tags: ['paid'], inbox: true })
export class ShipmentsListener {
  constructor(private readonly tandem: TandemTemplate) {}

  async onMessage(order: Order): Promise<void> {
    await this.tandem.transaction(async (trx) => {
      // Always in the same order of articles, so that two shipments cannot wait for one another.
      for (const { sku, quantity } of order.items.toSorted((a, b) => a.sku.localeCompare(b.sku))) {
        const found = await trx('articles').where({ sku }).decrement('on_hand', quantity)
        if (found === 0) throw new RejectMessage(`order ${order.id}: the warehouse has no article ${sku}`)
      }
      await trx('shipments').insert({ order_id: order.id })
    })
  }
}
