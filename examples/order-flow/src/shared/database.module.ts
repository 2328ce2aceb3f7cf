import { Global, Inject, Injectable, Module } from '@nestjs/common'
import type { OnApplicationShutdown } from '@nestjs/common'
import createKnex from 'knex'
import { type Knex } from 'knex'
import { environment } from './environment.ts'

export const KNEX = Symbol('knex')

/** Closes the pool in the last hook: listeners and outbox have ended by then. */
@Injectable()
class KnexShutdown implements OnApplicationShutdown {
  constructor(@Inject(KNEX) private readonly knex: Knex) {}

  async onApplicationShutdown(): Promise<void> {
    await this.knex.destroy()
  }
}

@Global()
@Module({
  providers: [
    { provide: KNEX, useFactory: () => createKnex({ client: 'pg', connection: environment('DATABASE_URL') }) },
    KnexShutdown,
  ],
  exports: [KNEX],
})
export class DatabaseModule {}
