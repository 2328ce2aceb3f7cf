import { Module } from '@nestjs/common'
import { OrdersModule } from '../orders.module.ts'
import { CheckoutController } from './checkout.controller.ts'
import { CheckoutService } from './checkout.service.ts'
import { PriceList } from './price-list.ts'
import { PricesController } from './prices.controller.ts'

@Module({
  imports: [OrdersModule],
  controllers: [CheckoutController, PricesController],
  providers: [CheckoutService, PriceList],
})
export class CheckoutModule {}
