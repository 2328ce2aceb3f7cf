import type { Metric } from './exposition.ts'

const byGroupAndTopic = ['group', 'topic'] as const
const family = (kind: Metric['kind'], name: string, help: string, labels: readonly string[]): Metric => {
  return { name: `tandemmq_${name}`, kind, help, labels }
}

/** Families with labels; groups, topics, codes and fixed words are the only ones, so their number is bounded. */
export const labelled = {
  refused: family('counter', 'requests_refused_total', 'Requests refused, by error code', ['code']),
  closed: family('counter', 'connections_closed_total', 'Connections ended by the broker, by reason', ['reason']),
  open: family('gauge', 'transactions_open', 'Half messages not settled, by what they wait for', ['state']),
  openAge: family(
    'gauge',
    'transactions_open_oldest_seconds',
    'Age of the oldest half message that waits for this; 0 without any',
    ['state'],
  ),
  lag: family('gauge', 'group_lag_messages', 'Messages the group has not consumed', byGroupAndTopic),
  lagAge: family(
    'gauge',
    'group_lag_seconds',
    'Age of the oldest message not consumed; 0 without any',
    byGroupAndTopic,
  ),
  leased: family('gauge', 'group_leased_messages', 'Messages leased and not acknowledged', byGroupAndTopic),
  delivered: family('counter', 'group_messages_delivered_total', 'Messages handed to the group', byGroupAndTopic),
  lost: family(
    'gauge',
    'group_lost_messages',
    'Messages retention removed before the group had consumed them, until it goes on',
    byGroupAndTopic,
  ),
  members: family('gauge', 'group_members', 'Consumers connected', ['group']),
  conflicts: family(
    'gauge',
    'group_subscription_conflicts',
    'Topics on whose subscription the members of the group disagree',
    ['group'],
  ),
  deadLetters: family('gauge', 'group_dead_letters', 'Dead letters of the group', ['group']),
  received: family('counter', 'topic_messages_received_total', 'Messages accepted for the topic', ['topic']),
  receivedBytes: family('counter', 'topic_received_bytes_total', 'Bytes of their records', ['topic']),
  stored: family('gauge', 'topic_messages', 'Messages of the topic in the log', ['topic']),
  cut: family('gauge', 'metrics_series_cut', 'Rows left out of this answer, smallest first', ['rows']),
} as const

const seconds = (name: string, help: string): Metric => ({
  name: `tandemmq_${name}_seconds`,
  kind: 'histogram',
  help,
})

export const histograms = {
  send: seconds('send_duration', 'From the arrival of a send to its answer, as durable as the flush policy says'),
  sync: seconds('store_sync_duration', 'One fdatasync of the log'),
  delivery: seconds('delivery_age', 'Age of the oldest message of an answer when it was handed to a consumer'),
  loop: seconds('event_loop_delay', 'How late a timer of 100 ms was: time in which nothing else could happen'),
} as const
