import type { Clock, RemotingServer } from '@tandemmq/remoting'
import type { DedupWindow } from '../dedup/index.ts'
import type { DelayService } from '../delay/index.ts'
import type { Measurements } from '../measurements.ts'
import type { ConsumerGroups, LeaseService, Offsets, passedOver, PullService, Topics } from '../queueing/index.ts'
import type { RetryService } from '../retry/index.ts'
import type { Statistics } from '../statistics/index.ts'
import type { MessageStore } from '../store/index.ts'
import type { GroupOrder, TransactionService } from '../transaction/index.ts'

/** What metrics look at: nothing here is changed by looking. */
export interface MetricSources {
  readonly clock: Clock
  readonly store: Pick<MessageStore, 'stats' | 'unsafeBytes' | 'read'>
  readonly topics: Pick<Topics, 'list' | 'find'>
  readonly groups: Pick<ConsumerGroups, 'list' | 'members' | 'conflicts' | 'online'>
  readonly offsets: Pick<Offsets, 'topicsOf' | 'committed'>
  readonly leases: Pick<LeaseService, 'stats' | 'leased'>
  readonly pulls: Pick<PullService, 'stats'>
  readonly passedOver: typeof passedOver
  readonly transactions: Pick<TransactionService, 'stats' | 'openHalves'>
  readonly order: Pick<GroupOrder, 'stats'>
  readonly delay: Pick<DelayService, 'stats'>
  readonly retry: Pick<RetryService, 'stats'>
  readonly dedup: Pick<DedupWindow, 'stats'> | undefined
  readonly statistics: Pick<Statistics, 'put' | 'deliveries' | 'startedAt'>
  readonly measured: Measurements
  remoting(): { connections: number; outputBytes: number; stats: RemotingServer['stats'] }
  /** Share of the file system in use, 0 to 1; undefined where nobody can say. */
  diskUsed(): number | undefined
  /** Of the process, bytes. */
  memory(): { rss: number; heapUsed: number; external: number }
}
