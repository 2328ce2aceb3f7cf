import { Inject, Injectable } from '@nestjs/common'
import { Payload } from '@nestjs/microservices'
import { OnMessage, RejectMessage, TandemTemplate } from '@tandemmq/nestjs'
import { type Knex } from 'knex'
import { type Order } from '../shared/order.ts'

@Injectable()
export class Shipments {
  constructor(@Inject(TandemTemplate) private readonly tandem: TandemTemplate) {}

  /** Takes the articles off the shelf and notes the shipment; `inbox` makes a message that comes twice have one effect. */
  @OnMessage({ topic: 'orders', group: 'stock', tags: ['paid'], inbox: true })
  async ship(@Payload() order: Order): Promise<void> {
    const trx = this.tandem.currentTransaction() as Knex.Transaction
    // Always in the same order of articles, so that two shipments cannot wait for one another.
    for (const { sku, quantity } of order.items.toSorted((a, b) => a.sku.localeCompare(b.sku))) {
      const found = await trx('articles').where({ sku }).decrement('on_hand', quantity)
      if (found === 0) throw new RejectMessage(`order ${order.id}: the warehouse has no article ${sku}`)
    }
    await trx('shipments').insert({ order_id: order.id })
  }
}
