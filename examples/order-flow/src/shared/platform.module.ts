import { Module, StandardSchemaValidationPipe } from '@nestjs/common'
import { ConfigModule } from '@nestjs/config'
import { APP_FILTER, APP_PIPE } from '@nestjs/core'
import { DatabaseModule } from './database/database.module.ts'
import { PostgresErrorFilter } from './filters/postgres-error.filter.ts'
import { TandemErrorFilter } from './filters/tandem-error.filter.ts'
import { HealthModule } from './health/health.module.ts'
import { settingsSchema } from './settings.ts'
import { TracingModule } from './tracing/tracing.module.ts'

/** What every service stands on. The connection to the broker is not here: each service says its own. */
@Module({
  imports: [
    ConfigModule.forRoot({ isGlobal: true, ignoreEnvFile: true, validationSchema: settingsSchema }),
    DatabaseModule,
    HealthModule,
    TracingModule,
  ],
  providers: [
    { provide: APP_PIPE, useClass: StandardSchemaValidationPipe },
    { provide: APP_FILTER, useClass: PostgresErrorFilter },
    { provide: APP_FILTER, useClass: TandemErrorFilter },
  ],
})
export class PlatformModule {}
