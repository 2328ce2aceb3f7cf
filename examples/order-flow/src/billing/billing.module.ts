import { Module } from '@nestjs/common'
import { TandemModule } from '@tandemmq/nestjs'
import { type Knex } from 'knex'
import { DatabaseModule, KNEX } from '../shared/database.module.ts'
import { environment } from '../shared/environment.ts'
import { CancellationLetters } from './cancellation-letters.ts'
import { Invoices } from './invoices.ts'

@Module({
  imports: [
    DatabaseModule,
    TandemModule.forRootAsync({
      inject: [KNEX],
      useFactory: (knex: Knex) => ({
        nameServers: environment('NAME_SERVERS'),
        group: 'billing',
        outbox: { database: knex },
        listeners: { startFrom: 'first' },
      }),
    }),
  ],
  providers: [Invoices, CancellationLetters],
})
export class BillingModule {}
