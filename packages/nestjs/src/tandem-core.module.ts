import { Global, Module } from '@nestjs/common'
import { DiscoveryModule, MetadataScanner } from '@nestjs/core'
import { TandemConnections } from './connection/tandem-connections.ts'
import { IdempotentInterceptor } from './listeners/idempotent.ts'
import { ListenerConsumers } from './listeners/listener-consumers.ts'
import { ListenerDiscovery } from './listeners/listener-discovery.ts'
import { ListenerInvoker } from './listeners/listener-invoker.ts'
import { TandemListeners } from './listeners/tandem-listeners.ts'
import { Gauges } from './observability/gauges.ts'
import { GroupLag } from './observability/group-lag.ts'
import { TandemHealthIndicator } from './observability/tandem-health.ts'
import { TandemEvents } from './tandem-events.ts'
import { TANDEM_OVERRIDES } from './tokens.ts'
import { TransactionListeners } from './transaction/transaction-listeners.ts'
import { TandemTransports } from './transport/tandem-transports.ts'

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
