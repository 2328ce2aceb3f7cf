import type { Command } from './command.ts'
import { brokerShow } from './commands/broker-show.ts'
import { groupsCreate, groupsUpdate } from './commands/groups-create.ts'
import { groupsDelete } from './commands/groups-delete.ts'
import { deadLettersList } from './commands/dead-letters-list.ts'
import { deadLettersRedrive } from './commands/dead-letters-redrive.ts'
import { deadLettersShow } from './commands/dead-letters-show.ts'
import { groupsList } from './commands/groups-list.ts'
import { groupsShow } from './commands/groups-show.ts'
import { messagesList } from './commands/messages-list.ts'
import { messagesQuery } from './commands/messages-query.ts'
import { messagesSend } from './commands/messages-send.ts'
import { messagesShow } from './commands/messages-show.ts'
import { messagesTail } from './commands/messages-tail.ts'
import { nameserver } from './commands/nameserver.ts'
import { offsetsReset } from './commands/offsets-reset.ts'
import { offsetsShow } from './commands/offsets-show.ts'
import { outboxDeadList, outboxDeadRequeue } from './commands/outbox-dead.ts'
import { outboxDoctor } from './commands/outbox-doctor.ts'
import { outboxMigrate } from './commands/outbox-migrate.ts'
import { outboxStatus } from './commands/outbox-status.ts'
import { resolver } from './commands/resolver.ts'
import { timersCancel } from './commands/timers-cancel.ts'
import { timersList } from './commands/timers-list.ts'
import { timersReschedule } from './commands/timers-reschedule.ts'
import { timersShow } from './commands/timers-show.ts'
import { topicsCreate } from './commands/topics-create.ts'
import { topicsDelete } from './commands/topics-delete.ts'
import { topicsList } from './commands/topics-list.ts'
import { topicsShow } from './commands/topics-show.ts'
import { topicsUpdate } from './commands/topics-update.ts'
import { transactionsHeld } from './commands/transactions-held.ts'
import { transactionsList } from './commands/transactions-list.ts'
import { transactionsResolve } from './commands/transactions-resolve.ts'
import { transactionsShow } from './commands/transactions-show.ts'
import { up } from './commands/up.ts'

/** Every command, in the order the overview shows them. */
export const commands: readonly Command[] = [
  up,
  nameserver,
  brokerShow,
  topicsList,
  topicsShow,
  topicsCreate,
  topicsUpdate,
  topicsDelete,
  groupsList,
  groupsShow,
  groupsCreate,
  groupsUpdate,
  groupsDelete,
  messagesList,
  messagesQuery,
  messagesShow,
  messagesSend,
  messagesTail,
  offsetsShow,
  offsetsReset,
  timersList,
  timersShow,
  timersCancel,
  timersReschedule,
  deadLettersList,
  deadLettersShow,
  deadLettersRedrive,
  transactionsList,
  transactionsShow,
  transactionsHeld,
  transactionsResolve,
  outboxMigrate,
  outboxStatus,
  outboxDoctor,
  outboxDeadList,
  outboxDeadRequeue,
  resolver,
]
