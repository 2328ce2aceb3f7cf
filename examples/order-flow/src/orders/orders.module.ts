import { Module } from '@nestjs/common'
import { TandemModule } from '@tandemmq/nestjs'
import { type Knex } from 'knex'
import { DatabaseModule, KNEX } from '../shared/database.module.ts'
import { environment } from '../shared/environment.ts'
import { OrderImport } from './order-import.ts'
import { OrdersService } from './orders.service.ts'
import { PaymentDeadlineListener } from './payment-deadline.listener.ts'

@Module({
  imports: [
    DatabaseModule,
    TandemModule.forRootAsync({
      inject: [KNEX],
      useFactory: (knex: Knex) => ({
        nameServers: environment('NAME_SERVERS'),
        group: 'orders',
        // A disk that is slow for a moment is no broker that is away: wait for it before taking the outbox table.
        outbox: { database: knex, halfTimeoutMs: 2_000 },
        listeners: { startFrom: 'first' },
      }),
    }),
  ],
  providers: [OrdersService, OrderImport, PaymentDeadlineListener],
})
export class OrdersModule {}
