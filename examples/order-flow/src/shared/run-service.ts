import { ConsoleLogger, type Type } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'

/** Runs a service until SIGTERM or SIGINT and tells who started it when its listeners listen. */
export async function runService(module: Type): Promise<void> {
  const app = await NestFactory.createApplicationContext(module, { logger: new ConsoleLogger({ colors: false }) })
  app.enableShutdownHooks()
  process.send?.('ready')
}
