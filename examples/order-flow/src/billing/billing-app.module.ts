import { Module } from '@nestjs/common'
import { ConfigService } from '@nestjs/config'
import { TandemModule } from '@tandemmq/nestjs'
import type { Knex } from 'knex'
import { KNEX } from '../shared/database/database.module.ts'
import { PlatformModule } from '../shared/platform.module.ts'
import type { Settings } from '../shared/settings.ts'
import { InvoicesModule } from './invoices/invoices.module.ts'
import { JournalModule } from './journal/journal.module.ts'

@Module({
  imports: [
    PlatformModule,
    TandemModule.forRootAsync({
      inject: [ConfigService, KNEX],
      useFactory: (config: ConfigService<Settings, true>, database: Knex) => ({
        nameServers: config.get('NAME_SERVERS', { infer: true }),
        group: 'billing',
        outbox: { database },
        listeners: { startFrom: 'first' },
        telemetry: { tracing: true },
      }),
    }),
    InvoicesModule,
    JournalModule,
  ],
})
export class BillingAppModule {}
