export { callbackTransaction } from './callback-transaction.ts'
export type { AdapterConnection, DatabaseAdapter } from './database-adapter.ts'
export type { Database, IsolationLevel, TransactionOf } from './database.ts'
export type { Blocker } from './blockers.ts'
export type { DeadMessage, DeadMessagesOptions } from './dead-messages.ts'
export { DeadMessages } from './dead-messages.ts'
export type { DoctorOptions, Finding } from './doctor.ts'
export { diagnose } from './doctor.ts'
export type {
  CheckAnswer,
  CheckedDomain,
  CheckedMessage,
  Decision,
  DomainAnswer,
  EndOutcome,
  Half,
  HalfEnd,
  HalfMessage,
  HalfSender,
} from './half-sender.ts'
export type { InboxOptions } from './inbox.ts'
export type { InboxMessage } from './inbox-key.ts'
export type { Upkeep } from './inbox-partitions.ts'
export { Inbox } from './inbox.ts'
export type { MigrateOptions } from './migrate.ts'
export type { OutboxOptions, OutboxStats, TransactionOptions } from './outbox-options.ts'
export { Outbox } from './outbox.ts'
export { OutboxError } from './outbox-error.ts'
export type { ResolverServiceOptions, ResolverStats } from './resolver-service.ts'
export { ResolverService } from './resolver-service.ts'
export type { Messages, Mode } from './scope.ts'
export type { OutboxTables } from './status.ts'
export { readOutboxTables } from './status.ts'
