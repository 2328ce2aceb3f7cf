export { callbackTransaction } from './callback-transaction.ts'
export type { AdapterConnection, DatabaseAdapter } from './database-adapter.ts'
export type { Database, IsolationLevel, TransactionOf } from './database.ts'
export type { DeadMessage, DeadMessagesOptions } from './dead-messages.ts'
export { DeadMessages } from './dead-messages.ts'
export type {
  CheckAnswer,
  CheckedMessage,
  Decision,
  EndOutcome,
  Half,
  HalfMessage,
  HalfSender,
} from './half-sender.ts'
export type { InboxMessage, InboxOptions } from './inbox.ts'
export { Inbox } from './inbox.ts'
export type { MigrateOptions } from './migrate.ts'
export type { OutboxOptions, OutboxStats, TransactionOptions } from './outbox-options.ts'
export { Outbox } from './outbox.ts'
export { OutboxError } from './outbox-error.ts'
export type { Messages, Mode } from './scope.ts'
