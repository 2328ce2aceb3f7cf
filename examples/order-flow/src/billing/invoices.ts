import { Inject, Injectable } from '@nestjs/common'
import { Payload } from '@nestjs/microservices'
import { OnMessage, TandemTemplate } from '@tandemmq/nestjs'
import { type Knex } from 'knex'
import { type Order } from '../shared/order.ts'

@Injectable()
export class Invoices {
  constructor(@Inject(TandemTemplate) private readonly tandem: TandemTemplate) {}

  @OnMessage({ topic: 'orders', group: 'billing', tags: ['paid'], inbox: true })
  async write(@Payload() order: Order): Promise<void> {
    const trx = this.tandem.currentTransaction() as Knex.Transaction
    await trx('invoices').insert({ order_id: order.id, amount: order.amount })
  }
}
