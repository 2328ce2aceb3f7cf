import type { Metric } from './exposition.ts'
import type { MetricSources } from './sources.ts'

/** Everything that is one number, taken at one moment. */
export function figuresOf(sources: MetricSources) {
  const { store, leases, pulls, transactions, order, delay, retry, dedup, statistics, groups } = sources
  return {
    now: sources.clock.now(),
    store: store.stats(),
    unsafeBytes: store.unsafeBytes,
    diskUsed: sources.diskUsed(),
    leases: leases.stats(),
    pulls: pulls.stats(),
    transactions: transactions.stats(),
    order: order.stats(),
    delay: delay.stats(),
    retry: retry.stats(),
    dedup: dedup?.stats() ?? { entries: 0, hits: 0, evictedEarly: 0 },
    statistics,
    remoting: sources.remoting(),
    memory: sources.memory(),
    groups: groups.list().length,
  }
}

export type Figures = ReturnType<typeof figuresOf>

/** A metric without labels. */
export interface PlainMetric extends Metric {
  /** undefined: not known here, no sample. */
  value(figures: Figures): number | undefined
}

const counter = (name: string, help: string, value: PlainMetric['value']): PlainMetric => {
  return { name: `tandemmq_${name}_total`, kind: 'counter', help, value }
}
const gauge = (name: string, help: string, value: PlainMetric['value']): PlainMetric => {
  return { name: `tandemmq_${name}`, kind: 'gauge', help, value }
}

/** In the order of an answer. */
export const plainMetrics: readonly PlainMetric[] = [
  gauge('start_time_seconds', 'When the broker started, Unix time', ({ statistics }) => statistics.startedAt / 1000),
  counter(
    'messages_received',
    'Messages accepted from producers, without repeats',
    ({ statistics }) => statistics.put.messages,
  ),
  counter('received_bytes', 'Bytes of their records', ({ statistics }) => statistics.put.bytes),
  counter(
    'messages_delivered',
    'Messages handed to consumers, each delivery counted',
    ({ statistics }) => statistics.deliveries.total.messages,
  ),
  counter('delivered_bytes', 'Bytes of their records', ({ statistics }) => statistics.deliveries.total.bytes),
  counter('pulls_found', 'Pulls and pops answered with messages', ({ statistics }) => statistics.deliveries.found),
  counter('pulls_empty', 'Pulls and pops answered without messages', ({ statistics }) => statistics.deliveries.missed),
  gauge('pulls_waiting', 'Pulls that wait for a message', ({ pulls }) => pulls.parked),
  gauge('pops_waiting', 'Pops that wait for a message', ({ leases }) => leases.waiting),
  gauge('leases', 'Messages leased to consumers and not acknowledged', ({ leases }) => leases.live),
  gauge('consumer_groups', 'Consumer groups the broker knows', ({ groups }) => groups),

  gauge('timers_pending', 'Delayed messages that wait for their time', ({ delay }) => delay.pending),
  counter('timers_fired', 'Delayed messages delivered at their time', ({ delay }) => delay.fired),
  counter('timers_cancelled', 'Delayed messages recalled before their time', ({ delay }) => delay.cancelled),
  counter('timers_lost', 'Delayed messages removed by retention before their time', ({ delay }) => delay.lost),
  gauge(
    'timers_late_seconds',
    'Greatest time by which a delayed message was late, since the start',
    ({ delay }) => delay.latestLateMs / 1000,
  ),

  gauge('transactions_pending', 'Half messages nobody has decided', ({ transactions }) => transactions.pending),
  gauge(
    'transactions_oldest_seconds',
    'Age of the oldest half message nobody has decided',
    ({ transactions }) => transactions.oldestPendingMs / 1000,
  ),
  counter('transactions_committed', 'Half messages committed', ({ transactions }) => transactions.committed),
  counter('transactions_rolled_back', 'Half messages rolled back', ({ transactions }) => transactions.rolledBack),
  counter(
    'transaction_conflicts',
    'Decisions refused because the opposite one was made before',
    ({ transactions }) => transactions.conflicts,
  ),
  counter(
    'transaction_commits_after_rollback',
    'Of those: a commit of what was rolled back',
    ({ transactions }) => transactions.commitsAfterRollback,
  ),
  counter(
    'transaction_ends_repeated',
    'Decisions made again, harmless',
    ({ transactions }) => transactions.repeatedEnds,
  ),
  counter(
    'transaction_ends_foreign',
    'Decisions of another group or with offsets that do not belong together, ignored',
    ({ transactions }) => transactions.foreignEnds,
  ),
  counter(
    'transaction_ends_unknown',
    'Decisions about no half message the broker has, or has heard of lately',
    ({ transactions }) => transactions.unknownEnds,
  ),
  counter(
    'transaction_checks',
    'Half messages that producers were asked about',
    ({ transactions }) => transactions.checksSent,
  ),
  counter(
    'transaction_checks_answered',
    'Answers to that, also those that say nothing is known',
    ({ transactions }) => transactions.checksAnswered,
  ),
  counter(
    'transaction_checks_not_mine',
    'Of those: by a producer whose database it is not',
    ({ transactions }) => transactions.checksNotMine,
  ),
  counter(
    'transaction_checks_unanswered',
    'Half messages of batched check-backs that were not answered in time, or whose connection broke',
    ({ transactions }) => transactions.checksUnanswered,
  ),
  counter(
    'transaction_checks_unanswerable',
    'Check-backs nobody was connected for',
    ({ transactions }) => transactions.checksUnanswerable,
  ),

  gauge('held_messages', 'Messages that wait for an undecided transaction of their orderBy', ({ order }) => order.held),
  gauge('held_bytes', 'Bytes of their records, on the disk', ({ order }) => order.heldBytes),
  gauge('held_groups', 'Values of orderBy with such messages', ({ order }) => order.groups),
  gauge(
    'held_oldest_seconds',
    'For how long the longest waiting of them has had such',
    ({ order }) => order.oldestHeldMs / 1000,
  ),
  counter('held_released', 'Such messages made visible', ({ order }) => order.released),
  counter('held_lost', 'Such messages removed by retention before their turn', ({ order }) => order.lost),

  counter('retries', 'Messages sent back by consumers for another delivery', ({ retry }) => retry.retried),
  counter('dead_letters_added', 'Messages that became dead letters', ({ retry }) => retry.deadLettered),

  gauge('dedup_keys', 'Keys in the dedup window', ({ dedup }) => dedup.entries),
  counter('dedup_hits', 'Repeats recognised and answered like the first one', ({ dedup }) => dedup.hits),
  counter('dedup_evicted_early', 'Keys that left the full window before their time', ({ dedup }) => dedup.evictedEarly),

  gauge('store_log_bytes', 'Bytes of the log', ({ store }) => store.endOffset - store.firstOffset),
  gauge('store_segments', 'Files of the log', ({ store }) => store.segments),
  gauge('store_queues', 'Consume queues', ({ store }) => store.queues),
  gauge('store_journal_bytes', 'Bytes of the journal of settings and positions', ({ store }) => store.journalBytes),
  gauge('store_hot_bytes', 'Newest bytes of the log held in memory', ({ store }) => store.hotBytes),
  gauge('store_index_bytes', 'Memory of the index', ({ store }) => store.indexBytes),
  gauge('store_unsafe_bytes', 'Bytes that wait for the disk', ({ unsafeBytes }) => unsafeBytes),
  gauge('store_sends_waiting', 'Appends whose answer waits for the disk', ({ store }) => store.pending),
  gauge('store_fenced', '1: a write or sync failed and nothing is accepted any more', ({ store }) =>
    Number(store.isFenced),
  ),
  gauge('store_full', '1: the disk has no room and messages are refused', ({ store }) => Number(store.isFull)),
  counter('store_damaged', 'Places of the log that could not be read', ({ store }) => store.damaged),
  counter(
    'retention_forced_bytes',
    'Bytes of messages somebody still needed, removed by a hard limit of retention',
    ({ store }) => store.forcedBytes,
  ),
  gauge('disk_used_ratio', 'Share of the file system in use', ({ diskUsed }) => diskUsed),

  gauge('connections', 'Open connections', ({ remoting }) => remoting.connections),
  counter('connections_opened', 'Connections accepted', ({ remoting }) => remoting.stats.connectionsOpened),
  counter(
    'connections_refused',
    'Connections turned away above connectionsMax',
    ({ remoting }) => remoting.stats.connectionsRefused,
  ),
  counter('requests', 'Requests and answers of clients understood', ({ remoting }) => remoting.stats.framesReceived),
  gauge('output_bytes', 'Answers that clients have not taken yet', ({ remoting }) => remoting.outputBytes),
  gauge(
    'unfinished_bytes',
    'Bytes of requests whose end has not arrived',
    ({ remoting }) => remoting.stats.receivedUnfinishedBytes,
  ),

  gauge('resident_memory_bytes', 'Resident memory of the process', ({ memory }) => memory.rss),
  gauge('heap_used_bytes', 'JavaScript heap in use', ({ memory }) => memory.heapUsed),
  gauge('external_memory_bytes', 'Memory of buffers outside the heap', ({ memory }) => memory.external),
]
