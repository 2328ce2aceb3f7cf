import { Inject } from '@nestjs/common'
import { Payload } from '@nestjs/microservices'
import { MessageListener } from '@tandemmq/nestjs'
import { OrdersService } from './orders.service.ts'

/** Hears of every transfer order when its time to pay is over. */
@MessageListener({ topic: 'payment-deadlines', group: 'orders-deadlines' })
export class PaymentDeadlineListener {
  constructor(@Inject(OrdersService) private readonly orders: OrdersService) {}

  async onMessage(@Payload('order') id: string): Promise<void> {
    await this.orders.cancelUnpaid(id)
  }
}
