export { callbackTransaction } from './database/callback-transaction.ts'
export type { AdapterConnection, DatabaseAdapter } from './database/database-adapter.ts'
export type { Database, IsolationLevel, TransactionOf } from './database/database.ts'
export type { Blocker } from './operations/blockers.ts'
export type { DeadMessage, DeadMessagesOptions } from './relay/dead-messages.ts'
export { DeadMessages } from './relay/dead-messages.ts'
export type { DoctorOptions } from './operations/doctor.ts'
export type { Finding } from './operations/finding.ts'
export { diagnose } from './operations/doctor.ts'
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
} from './settlement/half-sender.ts'
export type { InboxOptions } from './inbox/inbox.ts'
export type { InboxMessage } from './inbox/inbox-key.ts'
export type { Upkeep } from './inbox/inbox-partitions.ts'
export { Inbox } from './inbox/inbox.ts'
export type { MigrateOptions } from './schema/migrate.ts'
export type { OutboxOptions, OutboxStats, TransactionOptions } from './outbox-options.ts'
export { Outbox } from './outbox.ts'
export { OutboxError } from './outbox-error.ts'
export type { ResolverServiceOptions, ResolverStats } from './check-back/resolver-service.ts'
export { ResolverService } from './check-back/resolver-service.ts'
export type { Messages, Mode } from './transaction/scope.ts'
export type { OutboxTables } from './operations/status.ts'
export { readOutboxTables } from './operations/status.ts'
