import { Module } from '@nestjs/common'
import { ConfigModule } from '@nestjs/config'
import { DatabaseModule } from './database.module.ts'
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
})
export class PlatformModule {}
