import { Global, Inject, Module, type OnApplicationShutdown } from '@nestjs/common'
import { ConfigService } from '@nestjs/config'
import createKnex, { type Knex } from 'knex'
import type { Settings } from '../settings.ts'

export const KNEX = Symbol('KNEX')

@Global()
@Module({
  providers: [
    {
      provide: KNEX,
      inject: [ConfigService],
      useFactory: (config: ConfigService<Settings, true>) =>
        createKnex({ client: 'pg', connection: config.get('DATABASE_URL', { infer: true }) }),
    },
  ],
  exports: [KNEX],
})
export class DatabaseModule implements OnApplicationShutdown {
  constructor(@Inject(KNEX) private readonly knex: Knex) {}

  /** Listeners and outbox have ended by then. */
  async onApplicationShutdown(): Promise<void> {
    await this.knex.destroy()
  }
}
