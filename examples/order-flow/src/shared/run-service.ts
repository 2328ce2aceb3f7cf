import { ConsoleLogger, type Type } from '@nestjs/common'
import { ConfigService } from '@nestjs/config'
import { NestFactory } from '@nestjs/core'
import type { Settings } from './settings.ts'

/** Runs a service until SIGTERM or SIGINT and tells who started it when it serves. */
export async function runService(module: Type): Promise<void> {
  const app = await NestFactory.create(module, { logger: new ConsoleLogger({ colors: false }) })
  app.enableShutdownHooks()
  const config: ConfigService<Settings, true> = app.get(ConfigService)
  await app.listen(config.get('PORT', { infer: true }), '127.0.0.1')
  process.send?.({ url: await app.getUrl() })
}
