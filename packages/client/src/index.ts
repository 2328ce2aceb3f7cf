export { ClientError } from './client-error.ts'
export type { Logger } from './logger.ts'
export type { ConnectionOptions, GroupOptions } from './options.ts'
export type { BrokerData, MessageQueue } from './cluster/route.ts'
export type { MessageBody, OutgoingMessage } from './message/message.ts'
export type { SchemaIssue, SchemaResult, StandardSchema } from './standard-schema.ts'
export { conform } from './standard-schema.ts'
export type { AnyTopic, MessageFields, Topic } from './topic.ts'
export { defineTopic, isTopic } from './topic.ts'
export type { SendReceipt } from './message/send-receipt.ts'
export type { ProducerOptions, SendOptions } from './producer/producer-options.ts'
export type {
  CancelEvent,
  CheckEvent,
  ClientHook,
  ConsumeEvent,
  EndEvent,
  HookOptions,
  SendEvent,
  SendKind,
} from './hooks/hooks.ts'
export type { TraceStats } from './hooks/trace-dispatcher.ts'
export type { CancelOutcome, KeyedCancellation, KeyedMove, TimerKey, TimerTime } from './producer/timer-requests.ts'
export { Producer } from './producer/producer.ts'
export type { PreparedMessage, TransactionDecision, TransactionOutcome } from './message/prepared-message.ts'
export type { CheckAnswer } from '@tandemmq/protocol'
export type { DomainCheck } from './transaction/domain-checks.ts'
export type { TransactionEnd } from './transaction/end-batches.ts'
export type {
  PrepareOptions,
  TransactionCheck,
  TransactionProducerOptions,
} from './transaction/transaction-producer.ts'
export { TransactionProducer } from './transaction/transaction-producer.ts'
export type { RequestOptions } from './producer/requester.ts'
export { ReplyMessage } from './producer/requester.ts'
export { ConsumedMessage } from './message/consumed-message.ts'
export type { Filter } from './cluster/heartbeat.ts'
export { ReconsumeLater, RejectMessage } from './message/outcome.ts'
export type { HandlerContext, MessageHandler } from './consumer/subscription.ts'
export type { Allocate, MachineRooms } from './consumer/queue/allocate.ts'
export {
  allocateAveragely,
  allocateByCircle,
  allocateByConfig,
  allocateByMachineRoom,
  allocateConsistentHash,
  allocateNearby,
} from './consumer/queue/allocate.ts'
export type { StartFrom } from './consumer/start-offsets.ts'
export { fileOffsetStore } from './consumer/file-offset-store.ts'
export type { BroadcastOffsetStore } from './consumer/offset-store.ts'
export type { PushConsumerOptions } from './consumer/push-consumer-options.ts'
export type { PushConsumerStats } from './consumer/push-consumer.ts'
export { PushConsumer } from './consumer/push-consumer.ts'
export type {
  PullConsumerOptions,
  PullOptions,
  PullResult,
  QueuePosition,
  ReadFrom,
  ReadOptions,
} from './consumer/pull-consumer.ts'
export { PullConsumer } from './consumer/pull-consumer.ts'
export type { QueueOffsets, QueueProgress } from './admin/admin-positions.ts'
export type {
  ConsumerInfo,
  ConsumerQueue,
  DirectOutcome,
  GroupConnections,
  MemberConnection,
} from './admin/admin-members.ts'
export type { OpenTransaction, ResolvedTransaction, ResolveOptions } from './admin/admin-transactions.ts'
export type { HeldGroup } from './admin/admin-held-groups.ts'
export type {
  DeadLetter,
  DeadLetterQuery,
  RedriveOptions,
  RedriveProgress,
  RedriveResult,
} from './admin/admin-dead-letters.ts'
export type { RetryPauses } from './admin/retry-settings.ts'
export type { SubscriptionConflict } from './consumer/subscription-conflicts.ts'
export type { AllGroupSettings, GroupSettings } from './admin/admin-groups.ts'
export type { BrokerFigure, BrokerFigures } from './admin/admin-brokers.ts'
export type { TimerQuery, WaitingTimer } from './admin/admin-timers.ts'
export type { TopicChanges, TopicOptions, TopicQueue, TopicSettings } from './admin/admin-topics.ts'
export type { MessageMark, MessageRange, QueuePreview, ResetPreview, ResetTarget } from './admin/admin-history.ts'
export type { KeyQuery } from './admin/admin-messages.ts'
export type { AdminOptions } from './admin/admin.ts'
export type { TopicFeatures } from './admin/topic-features.ts'
export { Admin } from './admin/admin.ts'
// Codes, names and the root error belong to the same promise, so that users need one import.
export type { ErrorCode } from '@tandemmq/protocol'
export { TandemError } from '@tandemmq/protocol'
// Time, for what is built on the client (outbox, inbox) and must run on the same clock.
export type { Clock, Timer } from '@tandemmq/remoting'
export { sleep, systemClock } from '@tandemmq/remoting'
