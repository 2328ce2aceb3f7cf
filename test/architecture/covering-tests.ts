import type { RequestName } from '../../broker/src/server/request-table.ts'

/** Which test would fail if a request code were served wrongly. */
export interface CoveringTest {
  file: string
  /** As written in the file, `%s` included. */
  test: string
  /** Where the codes are spelt, when the test asks through a helper. */
  via?: string
  codes: readonly RequestName[]
}

const server = (name: string): string => `broker/src/server/${name}.test.ts`
const queueing = (name: string): string => `broker/src/queueing/${name}.test.ts`
const cover = (file: string, test: string, ...codes: RequestName[]): CoveringTest => ({ file, test, codes })
const admin = server('admin-handlers')
const registry = server('registry-handlers')
const route = server('route-handlers')
const rooms = server('room-handlers')
const relay = server('client-relay-handlers')
const groupOffsets = server('group-offset-handlers')
const groups = queueing('groups')
const offsets = queueing('offsets')
const edges = queueing('lease/pop-edges')

/** What is refused has one test for all. */
export const refusalTest: Omit<CoveringTest, 'codes'> = {
  file: server('request-table'),
  test: 'a code the broker knows and does not serve is answered with what to do instead',
}

export const coveringTests: readonly CoveringTest[] = [
  cover(
    server('message-bodies'),
    'a body reaches its consumers as it came, in sends of both forms and in a batch',
    ...(['SEND_MESSAGE', 'SEND_MESSAGE_V2', 'SEND_BATCH_MESSAGE'] as const),
  ),
  cover(
    server('reply-handlers'),
    'a reply reaches the requester with every property, %s',
    ...(['SEND_REPLY_MESSAGE', 'SEND_REPLY_MESSAGE_V2'] as const),
  ),
  cover(rooms, 'a recall is answered with the truth', 'RECALL_MESSAGE'),
  cover(
    server('timer-handlers'),
    'timers are found by key, moved and taken back over the wire, also after a restart',
    ...(['LIST_TIMERS', 'RESCHEDULE_TIMER', 'CANCEL_TIMER_BY_KEY'] as const),
  ),
  cover(rooms, 'END as a request is answered with the outcome once it is durable, one-way never', 'END_TRANSACTION'),
  cover(
    rooms,
    'open transactions can be asked for and listed',
    ...(['PENDING_TRANSACTIONS', 'LIST_TRANSACTIONS'] as const),
  ),
  cover(
    server('operator-transaction-handlers'),
    'a decision by hand is written down before the half message is touched, and listed with its outcome',
    ...(['RESOLVE_TRANSACTION', 'LIST_RESOLVED_TRANSACTIONS'] as const),
  ),
  cover(
    server('end-transactions-handler'),
    'many ends are answered together, when the last of them is stored',
    'END_TRANSACTIONS',
  ),
  cover(
    server('held-groups'),
    'operators see which keys are held, how many messages, and the half message they wait for',
    'LIST_HELD_GROUPS',
  ),
  cover(
    server('redrive-handlers'),
    'dead letters of a group are sent back to it once, and the broker says which were',
    ...(['DEAD_LETTER_STATE', 'REDRIVE_DEAD_LETTERS'] as const),
  ),
  cover(rooms, 'a send-back is answered when it is stored, or with what went wrong', 'CONSUMER_SEND_MSG_BACK'),

  cover(queueing('pull-service'), 'a parked pull is answered by the next message, once', 'PULL_MESSAGE'),
  cover(
    queueing('pull-service'),
    // As it stands in the file, with its placeholder.
    ['19, 20 and 21 in $', '{dialect} carry all four offsets too'].join(''),
    'LITE_PULL_MESSAGE',
  ),
  cover(admin, 'a message is found by its place, its unique key and its keys', 'VIEW_MESSAGE_BY_ID', 'QUERY_MESSAGE'),
  cover(
    offsets,
    'a commit of a running group never goes backwards and says so',
    ...(['QUERY_CONSUMER_OFFSET', 'UPDATE_CONSUMER_OFFSET'] as const),
  ),
  cover(
    offsets,
    'offsets by number and by time',
    ...(['GET_MAX_OFFSET', 'GET_MIN_OFFSET', 'GET_EARLIEST_MSG_STORETIME', 'SEARCH_OFFSET_BY_TIMESTAMP'] as const),
  ),
  cover(groups, 'a heartbeat makes the group, its retry topic and its member', 'HEART_BEAT'),
  cover(groups, 'a client that unregisters is gone at once', 'UNREGISTER_CLIENT'),
  cover(groups, 'a heartbeat makes the group, its retry topic and its member', 'GET_CONSUMER_LIST_BY_GROUP'),
  cover(
    groups,
    'a queue is locked by one client for 60 s, and the epoch tells its owners apart',
    ...(['LOCK_BATCH_MQ', 'UNLOCK_BATCH_MQ'] as const),
  ),
  cover(groups, 'code 46 says where an expression is wrong', 'CHECK_CLIENT_CONFIG'),

  cover(
    server('assignment-handlers'),
    'queues are shared out by pulls until the group is told to pop a topic; its retry topic is always pulled',
    ...(['QUERY_ASSIGNMENT', 'SET_MESSAGE_REQUEST_MODE'] as const),
  ),
  cover(server('assignment-handlers'), 'the mode of a group outlives the broker', 'GET_ALL_MESSAGE_REQUEST_MODE'),
  {
    ...cover(queueing('lease/pop'), 'a new invisible time counts from now and ends the old receipt'),
    via: 'broker/src/queueing/lease/lease-test-kit.ts',
    codes: ['POP_MESSAGE', 'ACK_MESSAGE', 'CHANGE_MESSAGE_INVISIBLETIME'],
  },
  cover(edges, 'a batch ack settles the messages its bits name, across queues and retries', 'BATCH_ACK_MESSAGE'),
  cover(
    edges,
    'a peek shows messages and leases none; a notification waits and takes none',
    ...(['PEEK_MESSAGE', 'NOTIFICATION'] as const),
  ),
  cover(edges, 'a thousand pops may wait for one queue, the next one is told that it is full', 'POLLING_INFO'),

  cover(
    route,
    'settings are kept over a kill, and a missing one is 22',
    ...(['PUT_KV_CONFIG', 'GET_KV_CONFIG', 'DELETE_KV_CONFIG', 'GET_KVLIST_BY_NAMESPACE'] as const),
  ),
  cover(
    route,
    'clients before 4.9.4 get unquoted numbers as keys unless they ask for standard JSON',
    'GET_ROUTEINFO_BY_TOPIC',
  ),
  cover(
    route,
    'the cluster is described in the dialect, topics are listed for all and for a cluster',
    ...(['GET_BROKER_CLUSTER_INFO', 'GET_ALL_TOPIC_LIST_FROM_NAMESERVER', 'GET_TOPICS_BY_CLUSTER'] as const),
  ),
  cover(
    server('list-admin-handlers'),
    'many topics and groups are created with one request each, or none of them',
    ...(['UPDATE_AND_CREATE_TOPIC_LIST', 'UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST'] as const),
  ),
  cover(
    server('group-offset-requests'),
    'tidying on demand is answered with success',
    ...(['CLEAN_EXPIRED_CONSUMEQUEUE', 'CLEAN_UNUSED_TOPIC', 'DELETE_EXPIRED_COMMITLOG'] as const),
  ),
  cover(groupOffsets, 'a time span says how far behind a group is, in time', 'QUERY_CONSUME_TIME_SPAN'),
  cover(
    groupOffsets,
    'a correction is the least any other group committed, or the greatest number',
    'QUERY_CORRECTION_OFFSET',
  ),
  cover(
    groupOffsets,
    'a clone starts where its model is, also when it runs already, and survives a restart',
    'CLONE_GROUP_OFFSET',
  ),
  cover(
    groupOffsets,
    'a group is asked for its topics and for one subscription',
    ...(['QUERY_TOPICS_BY_CONSUMER', 'QUERY_SUBSCRIPTION_BY_CONSUMER'] as const),
  ),
  cover(
    route,
    'names of clusters and brokers are the topics of the name server itself',
    'GET_SYSTEM_TOPIC_LIST_FROM_NS',
  ),
  cover(registry, 'a registered broker stands beside ours in one route', 'REGISTER_BROKER'),
  cover(registry, '104 takes a broker away, its slave stays', 'UNREGISTER_BROKER'),
  cover(registry, '322 tells whether a version is news and what is known', 'QUERY_DATA_VERSION'),
  cover(
    registry,
    'a slave that stands in for its master makes the topics read-only; one before 5.0 never speaks for topics',
    'GET_BROKER_MEMBER_GROUP',
  ),
  cover(registry, 'a broker is removed after 120 s of silence; 322 and 904 are signs of life', 'BROKER_HEARTBEAT'),
  cover(
    registry,
    '205 takes a broker out of writing until 327 or until it leaves, ours as well as registered ones',
    ...(['WIPE_WRITE_PERM_OF_BROKER', 'ADD_WRITE_PERM_OF_BROKER'] as const),
  ),
  cover(
    registry,
    '217 gives a topic to brokers that are registered and to nobody else',
    ...(['REGISTER_TOPIC_IN_NAMESRV', 'DELETE_TOPIC_IN_NAMESRV'] as const),
  ),
  cover(
    'broker/src/name-server-process.test.ts',
    'a name server alone knows the brokers that registered and serves no code of a broker',
    'GET_NAMESRV_CONFIG',
  ),

  cover(
    admin,
    'a topic is created, changed and deleted',
    ...(['UPDATE_AND_CREATE_TOPIC', 'DELETE_TOPIC_IN_BROKER'] as const),
  ),
  cover(
    admin,
    'a topic and a group tell their settings, one by one and all at once',
    ...(['GET_TOPIC_CONFIG', 'GET_ALL_TOPIC_CONFIG', 'GET_SYSTEM_TOPIC_LIST_FROM_BROKER'] as const),
    'GET_SUBSCRIPTIONGROUP_CONFIG',
  ),
  cover(
    admin,
    'groups are configured, listed and deleted',
    ...(['UPDATE_AND_CREATE_SUBSCRIPTIONGROUP', 'GET_ALL_SUBSCRIPTIONGROUP_CONFIG'] as const),
    'DELETE_SUBSCRIPTIONGROUP',
  ),
  cover(
    admin,
    'statistics list every queue of a fresh topic, and every read queue of a fresh group',
    ...(['GET_TOPIC_STATS_INFO', 'GET_CONSUME_STATS', 'QUERY_TOPIC_CONSUME_BY_WHO'] as const),
  ),
  cover(
    groups,
    'members with different subscriptions keep their own and the conflict is shown',
    'GET_CONSUMER_CONNECTION_LIST',
  ),
  cover(admin, 'all producers are listed with the time of their last sign of life', 'GET_ALL_PRODUCER_INFO'),
  cover(
    groups,
    'a check-back asks the producer that sent, between times the others in turn, then nobody',
    'GET_PRODUCER_CONNECTION_LIST',
  ),
  cover(admin, 'the backlog of all groups is added up, of ordered topics alone when asked', 'GET_BROKER_CONSUME_STATS'),
  cover(
    admin,
    'the entries of a queue are shown from where they are asked for, never outside it',
    'QUERY_CONSUME_QUEUE',
  ),
  cover(
    offsets,
    'a reset answers the next pull with 21, refuses commits until then, and only once',
    'INVOKE_BROKER_TO_RESET_OFFSET',
  ),
  cover(relay, 'an operator asks one consumer how it runs and gets its very words', 'GET_CONSUMER_RUNNING_INFO'),
  cover(relay, 'a message is handed to one consumer to try, and its verdict comes back', 'CONSUME_MESSAGE_DIRECTLY'),
  cover(
    relay,
    'the offsets of all members are gathered, those of a silent one are left empty',
    'INVOKE_BROKER_TO_GET_CONSUMER_STATUS',
  ),
  cover(
    'broker/src/live-settings.test.ts',
    'a changed setting holds from the next request on, under both names, and after a restart',
    ...(['UPDATE_BROKER_CONFIG', 'GET_BROKER_CONFIG'] as const),
  ),
  cover(
    'broker/src/statistics/statistics.test.ts',
    'figures say what was put and got, in all and per second',
    'GET_BROKER_RUNTIME_INFO',
  ),
  cover(
    'broker/src/statistics/statistics.test.ts',
    'one item of traffic is answered for the last minute, hour and day',
    'VIEW_BROKER_STATS_DATA',
  ),
  cover('broker/src/broker-metrics.test.ts', 'a tool is told the same figures as Prometheus', 'BROKER_STATS'),
]
