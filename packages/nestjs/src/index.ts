export { defineTopic, TandemError } from '@tandemmq/client'
export type { AnyTopic, MessageFields, StandardSchema, Topic } from '@tandemmq/client'
export type { ConsumedMessage, OutgoingMessage, ReplyMessage, SendReceipt } from '@tandemmq/client'
export { connectTandem, tandemStrategy } from './connect-tandem.ts'
export type { ConnectTandemOptions, TandemStrategyOptions } from './connect-tandem.ts'
export { MessageListener, OnMessage } from './decorators.ts'
export { Idempotent, IdempotentInterceptor } from './idempotent.ts'
export { InjectProducer, InjectTandem, InjectTandemConnection } from './inject.ts'
export { tandemConnectionToken, tandemProducerToken, tandemToken } from './inject.ts'
export type {
  BatchOptions,
  InboxSettings,
  LateListenerOptions,
  ListenerDefaults,
  ListenerOptions,
} from './listener-options.ts'
export type {
  LookUp,
  OutboxDatabase,
  TandemModuleOptions,
  TandemOutboxOptions,
  TandemOverrides,
} from './module-options.ts'
export { PartialFailure } from './partial-failure.ts'
export { TandemBatchContext } from './tandem-batch-context.ts'
export { ReconsumeLater, RejectMessage } from './outcome-exceptions.ts'
export { TandemClient } from './tandem-client.ts'
export type { TandemClientOptions, TandemClientStatus } from './tandem-client.ts'
export { TandemConnection } from './tandem-connection.ts'
export { TandemConnections } from './tandem-connections.ts'
export { TandemContext } from './tandem-context.ts'
export type { ListeningGroup } from './tandem-listeners.ts'
export { TandemListeners } from './tandem-listeners.ts'
export type { OnConnection, TandemEventMap } from './tandem-events.ts'
export { TandemEvents } from './tandem-events.ts'
export type { TandemFeatureOptions, TandemModuleExtras } from './tandem-module.ts'
export type { HealthDetails, HealthOptions } from './tandem-health.ts'
export { TandemHealthIndicator } from './tandem-health.ts'
export { TandemModule } from './tandem-module.ts'
export type { ProducerDefinition } from './tandem-producer.ts'
export { TandemProducer } from './tandem-producer.ts'
export type { LocalTransactions, TransactionListenerOptions } from './transaction-listener.ts'
export { TransactionListener } from './transaction-listener.ts'
export { TandemEvent, TandemRequest } from './tandem-patterns.ts'
export type { TandemPatternOptions } from './tandem-patterns.ts'
export { TandemRecord } from './tandem-record.ts'
export type { TandemRecordFields } from './tandem-record.ts'
export { TandemServer } from './tandem-server.ts'
export type {
  TandemServerEvents,
  TandemServerOptions,
  TandemServerStatus,
  TransportConnection,
} from './tandem-server.ts'
export { TandemTemplate } from './tandem-template.ts'
export { TANDEM_OPTIONS, TANDEM_OVERRIDES, TANDEM_TRANSPORT, tandemOptionsToken, tandemTransport } from './tokens.ts'
export type { AddedHandler, TypedHandler, TypedListenerOptions } from './typed-listener.ts'
export type { TelemetryOptions } from './telemetry.ts'
export type { OpenTelemetry } from './tracing.ts'
