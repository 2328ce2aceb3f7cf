import { type MiddlewareConsumer, Module, type NestModule, type OnApplicationShutdown } from '@nestjs/common'
import { HttpSpanMiddleware } from './http-span.middleware.ts'
import { tracerProvider } from './tracing.ts'

@Module({})
export class TracingModule implements NestModule, OnApplicationShutdown {
  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(HttpSpanMiddleware).forRoutes('*path')
  }

  /** Sends the spans that are left. */
  async onApplicationShutdown(): Promise<void> {
    await tracerProvider.shutdown()
  }
}
