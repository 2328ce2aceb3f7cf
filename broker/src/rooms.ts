import { DedupWindow } from './dedup/index.ts'
import { DelayService } from './delay/index.ts'
import { limitedLog } from './limited-log.ts'
import { StoreLogWriter } from './store-log-writer.ts'
import { BrokerRegistrar, BrokerRegistry, KvConfig, LocalBroker, NameServer, TopicQueues } from './nameserver/index.ts'
import { LiveSettings } from './live-settings.ts'
import { Measurements } from './measurements.ts'
import type { ResolvedOptions } from './options.ts'
import {
  ConsumerGroups,
  GroupNeeds,
  LeaseService,
  Offsets,
  openLeaseTables,
  ProducerDomains,
  ProducerGroups,
  PullService,
  type QueueLookup,
  QueueLocks,
  recordIndexing,
  RequestModes,
  SqlExpressions,
  Topics,
  tellTopicNews,
} from './queueing/index.ts'
import { recoveryLines } from './recovery-log.ts'
import { RedriveService, RetryService } from './retry/index.ts'
import { CheckRequests } from './server/check-requests.ts'
import { Statistics } from './statistics/index.ts'
import { type DerivedState, MessageStore, type StateJournal, type StoreOptions } from './store/index.ts'
import { GroupOrder, OperatorDecisions, TransactionService } from './transaction/index.ts'

const HOUR_MS = 3_600_000

/** Every room of one broker, joined through the small interfaces each declares. */
export interface Rooms {
  store: MessageStore
  topics: Topics
  groups: ConsumerGroups
  producers: ProducerGroups
  domains: ProducerDomains
  offsets: Offsets
  locks: QueueLocks
  pulls: PullService
  leases: LeaseService
  modes: RequestModes
  needs: GroupNeeds
  sql: SqlExpressions
  settings: LiveSettings
  statistics: Statistics
  measured: Measurements
  transactions: TransactionService
  decisions: OperatorDecisions
  order: GroupOrder
  delay: DelayService
  dedup: DedupWindow
  retry: RetryService
  redrives: RedriveService
  kvConfig: KvConfig
  nameServer: NameServer
  queues: TopicQueues
  registrar: BrokerRegistrar
  /** By it the name server part knows registrations of this very process. */
  instanceId: string
}

/**
 * Builds the rooms and recovers them: the journal's tables first, then every record of the log in order.
 * @throws {StoreError} what opening the directory can throw
 */
export function openRooms(options: ResolvedOptions, events: Pick<StoreOptions, 'onFenced' | 'onFull'>): Rooms {
  const { clock } = options
  const measured = new Measurements()
  const producers = new ProducerGroups({ clock, channelExpiryMs: options.channelExpiryMs })
  const domains = new ProducerDomains({ clock, channelExpiryMs: options.channelExpiryMs, groups: producers })
  const log = new StoreLogWriter()
  const replayed = openReplayed(options, log, domains)
  let tables: ReturnType<typeof openTables> | undefined
  const store = MessageStore.open({
    disk: options.disk,
    clock,
    directory: options.dataDir,
    flush: options.flush,
    segmentBytes: options.segmentBytes,
    checkpointBytes: options.checkpointBytes,
    hotBytesMax: options.hotBytesMax,
    retentionMs: options.retentionHours * HOUR_MS,
    retentionBytes: options.retentionBytes,
    retentionMsMax: options.retentionHoursMax * HOUR_MS,
    retentionBytesMax: options.retentionBytesMax,
    acceptDamage: options.acceptDamage,
    onProgress: (read, total) =>
      options.log(`reading the log: ${Math.floor(read / 2 ** 20)} of ${Math.floor(total / 2 ** 20)} MiB`),
    onDamage: (error) =>
      options.log(`${error.message}; nobody is served it. Restore the file, or start with acceptDamage`),
    onClockJump: (byMs) =>
      options.log(`the wall clock went forward by ${Math.round(byMs / 1_000)} s: no message is older by that`),
    ...recordIndexing,
    derived: new Map(Object.entries(derivedOf(replayed))),
    onSynced: (elapsedMs) => measured.sync.observe(elapsedMs),
    onCompleting: () => (measured.now = clock.monotonic()),
    onJournal: (journal) => {
      tables = openTables(options, journal)
      replayed.topics = tables.topics
      // Half messages of the log are checked back by what is in force.
      replayed.transactions.timeoutMs = tables.settings.values.transactionTimeoutMs
    },
    onRecovered: (record, bytes) => {
      replayed.transactions.replay(record, bytes)
      replayed.order.replay(record, bytes)
      replayed.delay.replay(record, bytes)
      replayed.retry.replay(record, bytes)
      replayed.redrives.replay(record, bytes)
      replayed.dedup.replay(record, bytes)
    },
    ...events,
  })
  for (const line of recoveryLines(store.recovery)) options.log(line)
  const { settings, topics, groups, offsets, kvConfig, leaseTables, modes, locks, decisions } =
    tables ?? openTables(options, store.journal)
  topics.open(store)
  // remoting.md 12.1: tools look up cluster and broker by the route of a topic of that name.
  topics.ensureInternal(options.clusterName, options.defaultQueues)
  topics.ensureInternal(options.brokerName, 1)
  if (options.traceTopicEnable) topics.ensureInternal(options.msgTraceTopicName, 1)
  const lookup: QueueLookup = (topic, queueId) => store.findQueue(topic, queueId)
  offsets.open(lookup)
  replayed.groups = groups
  replayed.store = store
  log.open({ store, topics, delay: replayed.delay, order: replayed.order })
  const local = new LocalBroker({
    brokerName: options.brokerName,
    clusterName: options.clusterName,
    advertise: options.advertise,
    find: (name) => topics.find(name) ?? topics.promised(name),
    list: () => topics.list(),
  })
  producers.onJoined = (group) => replayed.transactions.producerOnline({ group })
  domains.isSilent = (connectionId) => replayed.transactions.isSilent(connectionId)
  domains.onJoined = (domain) => replayed.transactions.producerOnline({ domain })
  groups.onGone = (group, clientId) => locks.releaseClaims(group, clientId)
  tellTopicNews({ clock, topics, groups })
  topics.listeners.push((topic, change) => {
    if (change === 'deleted') locks.deleteTopic(topic.name)
  })
  const sql = new SqlExpressions({ enabled: options.enablePropertyFilter })
  const statistics = openStatistics(options, topics, groups, replayed.delay, measured)
  const { deliveries } = statistics
  replayed.retry.onReturned = (topic, group) => statistics.countReturn(topic, group)
  const pulls = new PullService({ clock, topics, groups, offsets, store, sql, deliveries })
  const leases = new LeaseService({
    ...{ clock, topics, groups, offsets, sql, store, log, lookup },
    tables: leaseTables,
    brokerName: options.brokerName,
    deliveries,
  })
  store.onVisible = (queue) => {
    pulls.onVisible(queue)
    leases.onVisible(queue)
  }
  const registry = new BrokerRegistry({ clock, log: limitedLog(clock, options.log) })
  const nameServer = new NameServer({ local, registry, kvConfig })
  const instanceId = options.nameServers.length === 0 ? '' : clock.randomBytes(8).toString('hex')
  const registrar = new BrokerRegistrar({ ...options, instanceId, topics: () => topics.list() })
  topics.listeners.push(({ name }, change) => registrar.changed(name, change === 'deleted'))
  return {
    store,
    topics,
    groups,
    producers,
    domains,
    offsets,
    locks,
    pulls,
    leases,
    modes,
    needs: new GroupNeeds({
      clock,
      groups,
      offsets,
      lookup,
      liveMs: options.retentionHours * HOUR_MS,
    }),
    ...{ sql, settings, statistics, measured },
    transactions: replayed.transactions,
    decisions,
    order: replayed.order,
    delay: replayed.delay,
    dedup: replayed.dedup,
    retry: replayed.retry,
    redrives: replayed.redrives,
    kvConfig,
    nameServer,
    queues: new TopicQueues({ ...options, own: nameServer }),
    registrar,
    instanceId,
  }
}

/** Rooms whose state is a function of the log: they exist before it is read. */
function openReplayed(options: ResolvedOptions, log: StoreLogWriter, domains: ProducerDomains) {
  const { clock, brokerName } = options
  const logOrphan = limitedLog(clock, options.log)
  const checks = new CheckRequests({ domains, brokerName })
  const order = new GroupOrder({
    clock,
    log,
    enabled: options.transactionOrder,
    heldMax: options.heldMessagesMax,
    deletedBefore: (topic) => log.deletedBefore(topic),
    onNews: limitedLog(clock, options.log),
  })
  const transactions = new TransactionService({
    clock,
    log,
    order,
    timeoutMs: options.transactionTimeoutMs,
    checkIntervalMs: options.transactionCheckIntervalMs,
    verify: (properties, bytes) => void delay.deliverAt(properties, bytes),
    ask: (half, record) => checks.ask(half, record),
    peerOf: (half) => checks.peerOf(half),
  })
  const delay = new DelayService({
    clock,
    log,
    horizonMs: options.delayMsMax,
    findByKey: (topic, key) => log.findByKey(topic, key),
    deletedBefore: (topic) => log.deletedBefore(topic),
    turnTimestamp: () => log.turnTimestamp,
    newestTimestamp: () => log.newestTimestamp,
    onLost: (offset) => options.log(`the delayed message at ${offset} was removed by retention before its time`),
    onOrphan: (topic, offset) =>
      logOrphan(`the delayed message at ${offset} was for the topic ${topic}, deleted since: it is not delivered`),
  })
  const rooms: {
    groups: ConsumerGroups | undefined
    topics: Topics | undefined
    store: MessageStore | undefined
  } = { groups: undefined, topics: undefined, store: undefined }
  const dedup = new DedupWindow({
    clock,
    read: (offset) => log.read(offset),
    windowMs: options.dedupWindowMs,
    entriesMax: options.dedupEntriesMax,
    ownKeysMax: options.dedupOwnKeysMax,
    windowOf: (bytes, start, end) => rooms.topics?.intern(bytes, start, end)?.dedupWindowMs ?? -1,
    deletedBefore: (topic) => log.deletedBefore(topic),
    log: options.log,
  })
  const retry = new RetryService({
    clock,
    log,
    policyOf: (group) => rooms.groups?.policyOf(group) ?? { attemptsMax: 16 },
    delayMsMax: options.delayMsMax,
  })
  const redrives = new RedriveService({
    log,
    queueOf: (topic) => rooms.store?.findQueue(topic, 0),
    firstOffset: () => rooms.store?.firstOffset ?? 0,
  })
  return Object.assign(rooms, { transactions, order, delay, dedup, retry, redrives })
}

/** What checkpoints hold, by the name it has there. */
function derivedOf(rooms: ReturnType<typeof openReplayed>): Record<string, DerivedState> {
  const { transactions, order, delay, retry, redrives, dedup } = rooms
  return { transactions, groupOrder: order, delay, retry, redrives, dedupKeys: dedup }
}

/** Rooms whose state is in the journal. */
function openTables(options: ResolvedOptions, journal: StateJournal) {
  const { clock, channelExpiryMs, memberGraceMs } = options
  const settings = new LiveSettings({ journal, given: options })
  const { autoCreateTopic: autoCreate, defaultQueues } = settings.values
  const topics = new Topics({ journal, autoCreate, defaultQueues })
  const groups = new ConsumerGroups({ clock, journal, topics, channelExpiryMs, memberGraceMs })
  return {
    ...{ settings, topics, groups },
    offsets: new Offsets({ clock, journal, topics }),
    kvConfig: new KvConfig({ journal }),
    decisions: new OperatorDecisions({ journal }),
    leaseTables: openLeaseTables({ clock, journal }),
    modes: new RequestModes({ journal }),
    locks: new QueueLocks({ clock, journal, expiryMs: options.lockMaxLiveMs }),
  }
}

function openStatistics(
  options: ResolvedOptions,
  topics: Topics,
  groups: ConsumerGroups,
  delay: DelayService,
  measured: Measurements,
): Statistics {
  const { clock, clusterName } = options
  const sources = {
    ...{ topics: () => topics.list(), topic: (name: string) => topics.find(name) },
    ...{ groups: () => groups.list(), group: (name: string) => groups.find(name) },
  }
  const parked = (): number[] => {
    const { pending, fired, cancelled, orphaned, lost } = delay.stats()
    return [pending + fired + cancelled + orphaned + lost, fired]
  }
  return new Statistics({ clock, clusterName, sources, extra: parked, deliveryAge: measured.delivery })
}
