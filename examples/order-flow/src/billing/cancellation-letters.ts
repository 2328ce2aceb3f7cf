import { Inject, Injectable } from '@nestjs/common'
import { Payload } from '@nestjs/microservices'
import { OnMessage, TandemTemplate } from '@tandemmq/nestjs'
import { type Knex } from 'knex'

/** A group of its own: a group has one subscription per topic, and {@link Invoices} wants other tags. */
@Injectable()
export class CancellationLetters {
  constructor(@Inject(TandemTemplate) private readonly tandem: TandemTemplate) {}

  @OnMessage({ topic: 'orders', group: 'billing-letters', tags: ['cancelled'], inbox: true })
  async write(@Payload('id') id: string): Promise<void> {
    const trx = this.tandem.currentTransaction() as Knex.Transaction
    await trx('cancellation_letters').insert({ order_id: id })
  }
}
