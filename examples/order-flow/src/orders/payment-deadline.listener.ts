import { MessageListener } from '@tandemmq/nestjs'
import { paymentDeadlines } from '../shared/topics.ts'
import { OrdersService } from './orders.service.ts'

/** Hears of every transfer order when its time to pay is over. */
@MessageListener({ topic: paymentDeadlines, group: 'orders-deadlines' })
export class PaymentDeadlineListener {
  constructor(private readonly orders: OrdersService) {}

  async onMessage({ orderId }: { orderId: string }): Promise<void> {
    await this.orders.cancelUnpaid(orderId)
  }
}
