import { Controller, Get, HttpCode, Param, Post } from '@nestjs/common'
import { OrdersService, type OrderState } from './orders.service.ts'

@Controller('orders')
export class OrdersController {
  constructor(private readonly orders: OrdersService) {}

  @Get(':id')
  find(@Param('id') id: string): Promise<OrderState> {
    return this.orders.find(id)
  }

  /** The money for an order by transfer has arrived. */
  @Post(':id/payment')
  @HttpCode(200)
  pay(@Param('id') id: string): Promise<OrderState> {
    return this.orders.pay(id)
  }
}
