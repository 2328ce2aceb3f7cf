import { RequestCode } from '@tandemmq/protocol'
import type {
  ConsumerGroups,
  LeaseService,
  Offsets,
  ProducerGroups,
  PullService,
  ReadRecord,
  Topics,
} from '../queueing/index.ts'
import { clientRelayHandlers } from './client-relay-handlers.ts'
import { groupAdminHandlers } from './group-admin-handlers.ts'
import type { Handler } from './handler.ts'
import { progressHandlers } from './progress-handlers.ts'
import { answer } from './request-body.ts'
import { topicAdminHandlers } from './topic-admin-handlers.ts'

export interface AdminHandlerOptions {
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
  /** Settings in force, by option name. */
  config: () => Record<string, string | number | boolean>
  /** Figures for `brokerStatus` and `clusterList`, added to the ones the tools insist on. */
  runtime: () => Record<string, string | number | boolean>
}

/** Figures mqadmin parses as numbers or prints as "null" when they are missing (remoting.md 2E). */
const expectedRuntime: Record<string, string> = {
  brokerActive: 'true',
  brokerVersionDesc: 'TandemMQ',
  putTps: '0.0 0.0 0.0',
  getTransferredTps: '0.0 0.0 0.0',
  sendThreadPoolQueueSize: '0',
  sendThreadPoolQueueHeadWaitTimeMills: '0',
  pullThreadPoolQueueSize: '0',
  pullThreadPoolQueueHeadWaitTimeMills: '0',
  ackThreadPoolQueueSize: '0',
  ackThreadPoolQueueHeadWaitTimeMills: '0',
  pageCacheLockTimeMills: '0',
  earliestMessageTimeStamp: '0',
  commitLogDiskRatio: '0.0',
  timerReadBehind: '0',
  timerOffsetBehind: '0',
  timerCongestNum: '0',
  timerEnqueueTps: '0.0',
  timerDequeueTps: '0.0',
  msgPutTotalYesterdayMorning: '0',
  msgPutTotalTodayMorning: '0',
  msgPutTotalTodayNow: '0',
  msgGetTotalYesterdayMorning: '0',
  msgGetTotalTodayMorning: '0',
  msgGetTotalTodayNow: '0',
}

/** What operators' tools ask: topics, groups, progress, settings 26 and 319, figures 28. */
export function adminHandlers(options: AdminHandlerOptions): Map<number, Handler> {
  const config: Handler = (connection, header) => {
    const lines = Object.entries(options.config()).map(([name, value]) => `${name}=${value}\n`)
    const version = JSON.stringify({ counter: 0, stateVersion: 0, timestamp: 0 })
    answer(connection, header, { extFields: { version }, body: lines.toSorted().join('') })
  }
  const runtime: Handler = (connection, header) => {
    const own = Object.entries(options.runtime()).map(([name, value]) => [name, String(value)])
    answer(connection, header, { body: JSON.stringify({ table: { ...expectedRuntime, ...Object.fromEntries(own) } }) })
  }
  return new Map([
    ...topicAdminHandlers(options),
    ...groupAdminHandlers(options),
    ...progressHandlers(options),
    ...clientRelayHandlers(options),
    [RequestCode.GET_BROKER_CONFIG, config],
    // One process is both.
    [RequestCode.GET_NAMESRV_CONFIG, config],
    [RequestCode.GET_BROKER_RUNTIME_INFO, runtime],
  ])
}
