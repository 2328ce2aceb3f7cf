import { Global, Module } from '@nestjs/common'
import { DiscoveryModule, MetadataScanner } from '@nestjs/core'
import { Gauges } from './gauges.ts'
import { GroupLag } from './group-lag.ts'
import { IdempotentInterceptor } from './idempotent.ts'
import { ListenerConsumers } from './listener-consumers.ts'
import { ListenerDiscovery } from './listener-discovery.ts'
import { ListenerInvoker } from './listener-invoker.ts'
import { TandemConnections } from './tandem-connections.ts'
import { TandemEvents } from './tandem-events.ts'
import { TandemHealthIndicator } from './tandem-health.ts'
import { TandemListeners } from './tandem-listeners.ts'
import { TandemTransports } from './tandem-transports.ts'
import { TANDEM_OVERRIDES } from './tokens.ts'
import { TransactionListeners } from './transaction-listeners.ts'

/** What an application has once, however many connections it makes. */
@Global()
@Module({
  imports: [DiscoveryModule],
  providers: [
    { provide: TANDEM_OVERRIDES, useValue: {} },
    MetadataScanner,
    ListenerDiscovery,
    ListenerInvoker,
    ListenerConsumers,
    TandemConnections,
    IdempotentInterceptor,
    { provide: TandemEvents, useFactory: ({ events }: TandemConnections) => events, inject: [TandemConnections] },
    GroupLag,
    Gauges,
    TandemHealthIndicator,
    TandemListeners,
    TransactionListeners,
    TandemTransports,
  ],
  exports: [
    TandemConnections,
    TandemEvents,
    TandemHealthIndicator,
    IdempotentInterceptor,
    TandemListeners,
    TransactionListeners,
  ],
})
export class TandemCoreModule {}
