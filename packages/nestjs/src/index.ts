export { defineTopic, TandemError } from '@tandemmq/client'
export type { AnyTopic, MessageFields, StandardSchema, Topic } from '@tandemmq/client'
export type { ConsumedMessage, OutgoingMessage, ReplyMessage, SendReceipt } from '@tandemmq/client'
export { connectTandem, tandemStrategy } from './transport/connect-tandem.ts'
export type { ConnectTandemOptions, TandemStrategyOptions } from './transport/connect-tandem.ts'
export { MessageListener, OnMessage } from './listeners/decorators.ts'
export { Idempotent, IdempotentInterceptor } from './listeners/idempotent.ts'
export { InjectProducer, InjectTandem, InjectTandemConnection } from './inject.ts'
export { tandemConnectionToken, tandemProducerToken, tandemToken } from './inject.ts'
export type {
  BatchOptions,
  InboxSettings,
  LateListenerOptions,
  ListenerDefaults,
  ListenerOptions,
} from './listeners/listener-options.ts'
export type {
  LookUp,
  OutboxDatabase,
  TandemModuleOptions,
  TandemOutboxOptions,
  TandemOverrides,
} from './module-options.ts'
export { PartialFailure } from './listeners/partial-failure.ts'
export { TandemBatchContext } from './listeners/tandem-batch-context.ts'
export { ReconsumeLater, RejectMessage } from './listeners/outcome-exceptions.ts'
export { TandemClient } from './transport/tandem-client.ts'
export type { TandemClientOptions, TandemClientStatus } from './transport/tandem-client.ts'
export { TandemConnection } from './connection/tandem-connection.ts'
export { TandemConnections } from './connection/tandem-connections.ts'
export { TandemContext } from './listeners/tandem-context.ts'
export type { ListeningGroup } from './listeners/tandem-listeners.ts'
export { TandemListeners } from './listeners/tandem-listeners.ts'
export type { OnConnection, TandemEventMap } from './tandem-events.ts'
export { TandemEvents } from './tandem-events.ts'
export type { TandemFeatureOptions, TandemModuleExtras } from './tandem-module.ts'
export type { HealthDetails, HealthOptions } from './observability/tandem-health.ts'
export { TandemHealthIndicator } from './observability/tandem-health.ts'
export { TandemModule } from './tandem-module.ts'
export type { ProducerDefinition } from './sending/tandem-producer.ts'
export { TandemProducer } from './sending/tandem-producer.ts'
export type { LocalTransactions, TransactionListenerOptions } from './transaction/transaction-listener.ts'
export { TransactionListener } from './transaction/transaction-listener.ts'
export { TandemEvent, TandemRequest } from './transport/tandem-patterns.ts'
export type { TandemPatternOptions } from './transport/tandem-patterns.ts'
export { TandemRecord } from './transport/tandem-record.ts'
export type { TandemRecordFields } from './transport/tandem-record.ts'
export { TandemServer } from './transport/tandem-server.ts'
export type {
  TandemServerEvents,
  TandemServerOptions,
  TandemServerStatus,
  TransportConnection,
} from './transport/tandem-server.ts'
export { TandemTemplate } from './sending/tandem-template.ts'
export { TANDEM_OPTIONS, TANDEM_OVERRIDES, TANDEM_TRANSPORT, tandemOptionsToken, tandemTransport } from './tokens.ts'
export type { AddedHandler, TypedHandler, TypedListenerOptions } from './listeners/typed-listener.ts'
export type { TelemetryOptions } from './observability/telemetry.ts'
export type { OpenTelemetry } from './observability/tracing.ts'
