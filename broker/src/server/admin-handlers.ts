import type {
  ConsumerGroups,
  LeaseService,
  Offsets,
  ProducerGroups,
  PullService,
  ReadRecord,
  Topics,
} from '../queueing/index.ts'
import type { Statistics } from '../statistics/index.ts'
import type { Clock } from '@tandemmq/remoting'
import { cleaningHandlers } from './cleaning-handlers.ts'
import { clientRelayHandlers } from './client-relay-handlers.ts'
import { type ConfigHandlerOptions, configHandlers } from './config-handlers.ts'
import { type FigureHandlerOptions, figureHandlers } from './figure-handlers.ts'
import { groupAdminHandlers } from './group-admin-handlers.ts'
import { groupOffsetHandlers } from './group-offset-handlers.ts'
import type { Handler } from './handler.ts'
import { listAdminHandlers } from './list-admin-handlers.ts'
import { progressHandlers } from './progress-handlers.ts'
import { topicAdminHandlers } from './topic-admin-handlers.ts'

export interface AdminHandlerOptions extends ConfigHandlerOptions, FigureHandlerOptions {
  clock: Clock
  topics: Topics
  groups: ConsumerGroups
  producers: ProducerGroups
  offsets: Offsets
  pulls: PullService
  leases: Pick<LeaseService, 'nextOffset' | 'deleteGroup'>
  read: ReadRecord
  brokerName: string
  /** Resolves when separate name servers know the topics, or soon after. Default: at once. */
  announced?: () => Promise<void>
  statistics: Statistics
}

/** What operators' tools ask: topics, groups, progress, settings, figures. */
export function adminHandlers(options: AdminHandlerOptions): Map<number, Handler> {
  return new Map([
    ...topicAdminHandlers(options),
    ...groupAdminHandlers(options),
    ...listAdminHandlers(options),
    ...groupOffsetHandlers(options),
    ...progressHandlers(options),
    ...cleaningHandlers(),
    ...clientRelayHandlers(options),
    ...configHandlers(options),
    ...figureHandlers(options),
  ])
}
