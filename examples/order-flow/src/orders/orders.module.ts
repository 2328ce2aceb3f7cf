import { Module } from '@nestjs/common'
import { OrdersController } from './orders.controller.ts'
import { OrdersService } from './orders.service.ts'
import { PaymentDeadlineListener } from './payment-deadline.listener.ts'

@Module({
  controllers: [OrdersController],
  providers: [OrdersService, PaymentDeadlineListener],
  exports: [OrdersService],
})
export class OrdersModule {}
