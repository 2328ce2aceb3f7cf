import { Module } from '@nestjs/common'
import { ConfigService } from '@nestjs/config'
import { TandemModule } from '@tandemmq/nestjs'
import type { Knex } from 'knex'
import { KNEX } from '../shared/database/database.module.ts'
import { PlatformModule } from '../shared/platform.module.ts'
import type { Settings } from '../shared/settings.ts'
import { CheckoutModule } from './checkout/checkout.module.ts'
import { ImportModule } from './import/import.module.ts'
import { OrdersModule } from './orders.module.ts'

@Module({
  imports: [
    PlatformModule,
    TandemModule.forRootAsync({
      inject: [ConfigService, KNEX],
      useFactory: (config: ConfigService<Settings, true>, database: Knex) => ({
        nameServers: config.get('NAME_SERVERS', { infer: true }),
        group: 'orders',
        // A disk that is slow for a moment is no broker that is away: wait for it before taking the outbox table.
        outbox: { database, halfTimeoutMs: 2_000 },
        listeners: { startFrom: 'first' },
        telemetry: { tracing: true },
      }),
    }),
    OrdersModule,
    CheckoutModule,
    ImportModule,
  ],
})
export class OrdersAppModule {}
