export { ClientError } from './client-error.ts'
export type { Logger } from './logger.ts'
export type { ConnectionOptions, GroupOptions } from './options.ts'
export type { BrokerData, MessageQueue } from './route.ts'
export type { MessageBody, OutgoingMessage } from './message.ts'
export type { SchemaIssue, SchemaResult, StandardSchema } from './standard-schema.ts'
export { conform } from './standard-schema.ts'
export type { AnyTopic, MessageFields, Topic } from './topic.ts'
export { defineTopic, isTopic } from './topic.ts'
export type { SendReceipt } from './send-receipt.ts'
export type { ProducerOptions, SendOptions } from './producer-options.ts'
export type {
  CancelEvent,
  CheckEvent,
  ClientHook,
  ConsumeEvent,
  EndEvent,
  HookOptions,
  SendEvent,
  SendKind,
} from './hooks.ts'
export type { TraceStats } from './trace-dispatcher.ts'
export type { CancelOutcome, KeyedCancellation, KeyedMove, TimerKey, TimerTime } from './timer-requests.ts'
export { Producer } from './producer.ts'
export type { PreparedMessage, TransactionDecision, TransactionOutcome } from './prepared-message.ts'
export type { CheckAnswer } from '@tandemmq/protocol'
export type { DomainCheck } from './domain-checks.ts'
export type { TransactionEnd } from './end-batches.ts'
export type { PrepareOptions, TransactionCheck, TransactionProducerOptions } from './transaction-producer.ts'
export { TransactionProducer } from './transaction-producer.ts'
export type { RequestOptions } from './requester.ts'
export { ReplyMessage } from './requester.ts'
export { ConsumedMessage } from './consumed-message.ts'
export type { Filter } from './heartbeat.ts'
export { ReconsumeLater, RejectMessage } from './outcome.ts'
export type { HandlerContext, MessageHandler } from './subscription.ts'
export type { Allocate, MachineRooms } from './allocate.ts'
export {
  allocateAveragely,
  allocateByCircle,
  allocateByConfig,
  allocateByMachineRoom,
  allocateConsistentHash,
  allocateNearby,
} from './allocate.ts'
export type { StartFrom } from './start-offsets.ts'
export { fileOffsetStore } from './file-offset-store.ts'
export type { BroadcastOffsetStore } from './offset-store.ts'
export type { PushConsumerOptions } from './push-consumer-options.ts'
export type { PushConsumerStats } from './push-consumer.ts'
export { PushConsumer } from './push-consumer.ts'
export type {
  PullConsumerOptions,
  PullOptions,
  PullResult,
  QueuePosition,
  ReadFrom,
  ReadOptions,
} from './pull-consumer.ts'
export { PullConsumer } from './pull-consumer.ts'
export type { QueueOffsets, QueueProgress } from './admin-positions.ts'
export type { ConsumerInfo, ConsumerQueue, DirectOutcome, GroupConnections, MemberConnection } from './admin-members.ts'
export type { OpenTransaction, ResolvedTransaction, ResolveOptions } from './admin-transactions.ts'
export type { HeldGroup } from './admin-held-groups.ts'
export type {
  DeadLetter,
  DeadLetterQuery,
  RedriveOptions,
  RedriveProgress,
  RedriveResult,
} from './admin-dead-letters.ts'
export type { RetryPauses } from './retry-settings.ts'
export type { SubscriptionConflict } from './subscription-conflicts.ts'
export type { AllGroupSettings, GroupSettings } from './admin-groups.ts'
export type { BrokerFigure, BrokerFigures } from './admin-brokers.ts'
export type { TimerQuery, WaitingTimer } from './admin-timers.ts'
export type { TopicChanges, TopicOptions, TopicQueue, TopicSettings } from './admin-topics.ts'
export type { MessageMark, MessageRange, QueuePreview, ResetPreview, ResetTarget } from './admin-history.ts'
export type { KeyQuery } from './admin-messages.ts'
export type { AdminOptions } from './admin.ts'
export type { TopicFeatures } from './topic-features.ts'
export { Admin } from './admin.ts'
// Codes, names and the root error belong to the same promise, so that users need one import.
export type { ErrorCode } from '@tandemmq/protocol'
export { TandemError } from '@tandemmq/protocol'
// Time, for what is built on the client (outbox, inbox) and must run on the same clock.
export type { Clock, Timer } from '@tandemmq/remoting'
export { sleep, systemClock } from '@tandemmq/remoting'
