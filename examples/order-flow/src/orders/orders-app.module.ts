import { Module } from '@nestjs/common'
import { ConfigService } from '@nestjs/config'
import { APP_FILTER } from '@nestjs/core'
import { TandemModule } from '@tandemmq/nestjs'
import type { Knex } from 'knex'
import { KNEX } from '../shared/database.module.ts'
import { PlatformModule } from '../shared/platform.module.ts'
import { PostgresErrorFilter } from '../shared/postgres-error.filter.ts'
import type { Settings } from '../shared/settings.ts'
import { TandemErrorFilter } from '../shared/tandem-error.filter.ts'
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
  providers: [
    { provide: APP_FILTER, useClass: PostgresErrorFilter },
    { provide: APP_FILTER, useClass: TandemErrorFilter },
  ],
})
export class OrdersAppModule {}
