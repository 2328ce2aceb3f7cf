import { MessageListener, TandemContext, TandemTemplate } from '@tandemmq/nestjs'
import type { Order } from '../../shared/order.ts'
import { orders } from '../../shared/topics.ts'

/** Writes down what happens to each order, in the order in which it happens: `ordered` here, `orderBy` where it is sent. */
@MessageListener({ topic: orders, group: 'billing-journal', ordered: true, inbox: true })
export class JournalListener {
  constructor(private readonly tandem: TandemTemplate) {}

  async onMessage({ id }: Order, context: TandemContext): Promise<void> {
    await this.tandem.transaction((trx) => trx('journal').insert({ order_id: id, event: context.getTag() }))
  }
}
