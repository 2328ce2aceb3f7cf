import type { Command } from './command.ts'
import { groupsList } from './commands/groups-list.ts'
import { groupsShow } from './commands/groups-show.ts'
import { messagesList } from './commands/messages-list.ts'
import { messagesQuery } from './commands/messages-query.ts'
import { messagesShow } from './commands/messages-show.ts'
import { nameserver } from './commands/nameserver.ts'
import { offsetsReset } from './commands/offsets-reset.ts'
import { offsetsShow } from './commands/offsets-show.ts'
import { outboxMigrate } from './commands/outbox-migrate.ts'
import { outboxStatus } from './commands/outbox-status.ts'
import { topicsCreate } from './commands/topics-create.ts'
import { topicsDelete } from './commands/topics-delete.ts'
import { topicsList } from './commands/topics-list.ts'
import { transactionsList } from './commands/transactions-list.ts'
import { transactionsResolve } from './commands/transactions-resolve.ts'
import { up } from './commands/up.ts'

/** Every command, in the order the overview shows them. */
export const commands: readonly Command[] = [
  up,
  nameserver,
  topicsList,
  topicsCreate,
  topicsDelete,
  groupsList,
  groupsShow,
  messagesList,
  messagesQuery,
  messagesShow,
  offsetsShow,
  offsetsReset,
  transactionsList,
  transactionsResolve,
  outboxMigrate,
  outboxStatus,
]
