import { Body, Controller, Post } from '@nestjs/common'
import type { Order } from '../../shared/order.ts'
import { type CheckoutDto, checkoutSchema } from './checkout.dto.ts'
import { CheckoutService } from './checkout.service.ts'

@Controller('orders')
export class CheckoutController {
  constructor(private readonly checkout: CheckoutService) {}

  @Post()
  place(@Body({ schema: checkoutSchema }) body: CheckoutDto): Promise<Order> {
    return this.checkout.place(body)
  }
}
