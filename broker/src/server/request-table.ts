import { RequestCode, ResponseCode, TandemRequestCode } from '@tandemmq/protocol'
import type { Handler } from './handler.ts'

const requestCodes = { ...RequestCode, ...TandemRequestCode } as const

export type RequestName = keyof typeof requestCodes

/** Answer to a request this broker understands but does not serve. */
export interface Refusal {
  /** RocketMQ response code, mostly 3. */
  readonly code: number
  /** What to do instead. */
  readonly remark: string
}

/** One request code: served by a set of handlers, or refused with a reason. */
export interface RequestRow {
  readonly name: RequestName
  readonly code: number
  /** Key of {@link assemble}'s `rooms`. */
  readonly servedBy?: string
  readonly refusal?: Refusal
  /** Brokers of RocketMQ do not serve it either: it is asked of clients or of controllers. */
  readonly isElsewhere?: true
}

const served = (name: RequestName, servedBy: string): RequestRow => ({ name, code: requestCodes[name], servedBy })

const refused = (name: RequestName, advice: string): RequestRow => {
  const code = requestCodes[name]
  const remark = ` request type ${code} not supported: ${advice}`
  return { name, code, refusal: { code: ResponseCode.REQUEST_CODE_NOT_SUPPORTED, remark } }
}

const elsewhere = (name: RequestName, advice: string): RequestRow => ({ ...refused(name, advice), isElsewhere: true })

const pushed = 'brokers ask this of clients'
const noController = 'there is one broker per name and no controller; its data are safe as the option flush says'
const noSlave = 'there are no slaves; back up the data directory'
const noAcl = 'this broker has no users; let its address be reached only by those who may use it'
const noRocksdb =
  'there is no RocksDB; settings are read with GET_BROKER_CONFIG (26), GET_ALL_TOPIC_CONFIG (21) and 201'
const noColdFlow = 'reads of old messages are not held back; nothing has to be set'
const unused = 'no released RocketMQ serves it'
const viaReset = 'reset offsets with INVOKE_BROKER_TO_RESET_OFFSET (222)'

/**
 * Every request code of RocketMQ 5.3.3 and of TandemMQ with what this broker does: the one place to look it up. `docs/compatibility.md` is
 * generated from it (`npm run docs:compatibility`). A code in no row is answered like one that no RocketMQ knows (remoting.md 1.4).
 */
export const requestTable: readonly RequestRow[] = [
  // producers (remoting.md 2A, 2C)
  served('SEND_MESSAGE', 'send'),
  served('SEND_MESSAGE_V2', 'send'),
  served('SEND_BATCH_MESSAGE', 'batch'),
  served('SEND_REPLY_MESSAGE', 'reply'),
  served('SEND_REPLY_MESSAGE_V2', 'reply'),
  served('RECALL_MESSAGE', 'recall'),
  served('END_TRANSACTION', 'transaction'),
  refused(
    'RESUME_CHECK_HALF_MESSAGE',
    'a half message is never given up; settle it with "tandem transactions resolve"',
  ),

  // consumers (2B)
  served('PULL_MESSAGE', 'pull'),
  served('LITE_PULL_MESSAGE', 'pull'),
  served('QUERY_MESSAGE', 'query'),
  served('QUERY_CONSUMER_OFFSET', 'offset'),
  served('UPDATE_CONSUMER_OFFSET', 'offset'),
  served('SEARCH_OFFSET_BY_TIMESTAMP', 'offset'),
  served('GET_MAX_OFFSET', 'offset'),
  served('GET_MIN_OFFSET', 'offset'),
  served('GET_EARLIEST_MSG_STORETIME', 'offset'),
  served('VIEW_MESSAGE_BY_ID', 'query'),
  served('HEART_BEAT', 'client'),
  served('UNREGISTER_CLIENT', 'client'),
  served('CONSUMER_SEND_MSG_BACK', 'sendBack'),
  served('GET_CONSUMER_LIST_BY_GROUP', 'client'),
  served('LOCK_BATCH_MQ', 'lock'),
  served('UNLOCK_BATCH_MQ', 'lock'),
  served('CHECK_CLIENT_CONFIG', 'client'),

  // lease mode, RocketMQ's POP (2B-POP)
  served('QUERY_ASSIGNMENT', 'assignment'),
  served('SET_MESSAGE_REQUEST_MODE', 'assignment'),
  served('GET_ALL_MESSAGE_REQUEST_MODE', 'assignment'),
  served('POP_MESSAGE', 'pop'),
  served('ACK_MESSAGE', 'pop'),
  served('BATCH_ACK_MESSAGE', 'pop'),
  served('PEEK_MESSAGE', 'pop'),
  served('CHANGE_MESSAGE_INVISIBLETIME', 'pop'),
  served('NOTIFICATION', 'pop'),
  served('POLLING_INFO', 'pop'),
  refused(
    'POP_ROLLBACK',
    'leases are in journal and log, there are no pop records to move; acknowledge or let them run out',
  ),

  // name server (2D)
  served('PUT_KV_CONFIG', 'route'),
  served('GET_KV_CONFIG', 'route'),
  served('DELETE_KV_CONFIG', 'route'),
  served('GET_KVLIST_BY_NAMESPACE', 'route'),
  served('GET_ROUTEINFO_BY_TOPIC', 'route'),
  served('GET_BROKER_CLUSTER_INFO', 'route'),
  served('GET_ALL_TOPIC_LIST_FROM_NAMESERVER', 'route'),
  served('GET_TOPICS_BY_CLUSTER', 'route'),
  served('GET_SYSTEM_TOPIC_LIST_FROM_NS', 'route'),
  served('REGISTER_BROKER', 'registry'),
  served('UNREGISTER_BROKER', 'registry'),
  served('QUERY_DATA_VERSION', 'registry'),
  served('GET_BROKER_MEMBER_GROUP', 'registry'),
  served('BROKER_HEARTBEAT', 'registry'),
  served('WIPE_WRITE_PERM_OF_BROKER', 'registry'),
  served('ADD_WRITE_PERM_OF_BROKER', 'registry'),
  served('DELETE_TOPIC_IN_NAMESRV', 'registry'),
  served('REGISTER_TOPIC_IN_NAMESRV', 'registry'),
  served('GET_NAMESRV_CONFIG', 'admin'),

  // administration (2E)
  served('UPDATE_AND_CREATE_TOPIC', 'admin'),
  served('DELETE_TOPIC_IN_BROKER', 'admin'),
  served('GET_ALL_TOPIC_CONFIG', 'admin'),
  served('GET_TOPIC_CONFIG', 'admin'),
  served('GET_TOPIC_STATS_INFO', 'admin'),
  served('GET_SYSTEM_TOPIC_LIST_FROM_BROKER', 'admin'),
  served('QUERY_TOPIC_CONSUME_BY_WHO', 'admin'),
  served('UPDATE_AND_CREATE_SUBSCRIPTIONGROUP', 'admin'),
  served('GET_ALL_SUBSCRIPTIONGROUP_CONFIG', 'admin'),
  served('GET_SUBSCRIPTIONGROUP_CONFIG', 'admin'),
  served('DELETE_SUBSCRIPTIONGROUP', 'admin'),
  served('GET_CONSUMER_CONNECTION_LIST', 'admin'),
  served('GET_PRODUCER_CONNECTION_LIST', 'admin'),
  served('GET_ALL_PRODUCER_INFO', 'admin'),
  served('GET_CONSUME_STATS', 'admin'),
  served('GET_BROKER_CONSUME_STATS', 'admin'),
  served('INVOKE_BROKER_TO_RESET_OFFSET', 'admin'),
  served('INVOKE_BROKER_TO_GET_CONSUMER_STATUS', 'admin'),
  served('GET_CONSUMER_RUNNING_INFO', 'admin'),
  served('CONSUME_MESSAGE_DIRECTLY', 'admin'),
  served('QUERY_CONSUME_QUEUE', 'query'),
  served('QUERY_CONSUME_TIME_SPAN', 'admin'),
  served('QUERY_CORRECTION_OFFSET', 'admin'),
  served('CLONE_GROUP_OFFSET', 'admin'),
  served('QUERY_TOPICS_BY_CONSUMER', 'admin'),
  served('QUERY_SUBSCRIPTION_BY_CONSUMER', 'admin'),
  served('UPDATE_AND_CREATE_TOPIC_LIST', 'admin'),
  served('UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST', 'admin'),
  served('GET_BROKER_CONFIG', 'admin'),
  served('UPDATE_BROKER_CONFIG', 'admin'),
  served('GET_BROKER_RUNTIME_INFO', 'admin'),
  served('VIEW_BROKER_STATS_DATA', 'admin'),
  refused(
    'UPDATE_NAMESRV_CONFIG',
    'restart the name server with the setting; UPDATE_BROKER_CONFIG (25) changes a broker',
  ),
  refused('UPDATE_AND_GET_GROUP_FORBIDDEN', 'a group is stopped as a whole: set its consumeEnable=false (200)'),
  refused('GET_UNIT_TOPIC_LIST', 'there are no units'),
  refused('GET_HAS_UNIT_SUB_TOPIC_LIST', 'there are no units'),
  refused('GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST', 'there are no units'),
  served('CLEAN_EXPIRED_CONSUMEQUEUE', 'admin'),
  served('CLEAN_UNUSED_TOPIC', 'admin'),
  served('DELETE_EXPIRED_COMMITLOG', 'admin'),
  refused('GET_TIMER_METRICS', 'ask GET_BROKER_RUNTIME_INFO (28)'),
  refused('GET_TOPIC_CONFIG_LIST', `${unused}; use GET_ALL_TOPIC_CONFIG (21)`),
  refused('GET_TOPIC_NAME_LIST', `${unused}; use GET_ALL_TOPIC_LIST_FROM_NAMESERVER (206)`),
  refused('QUERY_BROKER_OFFSET', `${unused}; use GET_MAX_OFFSET (30)`),
  refused('TRIGGER_DELETE_FILES', `${unused}; files leave as retentionHours and retentionBytes say`),
  refused('GET_CLIENT_CONFIG', `${unused}; use GET_CONSUMER_RUNNING_INFO (307)`),
  refused('SUSPEND_CONSUMER', `${unused}; set consumeEnable=false of the group (200)`),
  refused('RESUME_CONSUMER', `${unused}; set consumeEnable=true of the group (200)`),
  refused('RESET_CONSUMER_OFFSET_IN_CONSUMER', `${unused}; ${viaReset}`),
  refused('RESET_CONSUMER_OFFSET_IN_BROKER', `${unused}; ${viaReset}`),
  refused('ADJUST_CONSUMER_THREAD_POOL', `${unused}; set the consumer's own number of threads`),
  refused('WHO_CONSUME_THE_MESSAGE', `${unused}; use QUERY_TOPIC_CONSUME_BY_WHO (300)`),
  refused('REGISTER_FILTER_SERVER', 'filter servers ended with RocketMQ 4; subscribe with SQL92'),
  refused('REGISTER_MESSAGE_FILTER_CLASS', 'filter servers ended with RocketMQ 4; subscribe with SQL92'),
  refused('UPDATE_AND_CREATE_STATIC_TOPIC', 'queues of a topic stay on their broker'),
  refused('CHECK_ROCKSDB_CQ_WRITE_PROGRESS', noRocksdb),
  refused('EXPORT_ROCKSDB_CONFIG_TO_JSON', noRocksdb),
  refused('UPDATE_COLD_DATA_FLOW_CTR_CONFIG', noColdFlow),
  refused('REMOVE_COLD_DATA_FLOW_CTR_CONFIG', noColdFlow),
  refused('GET_COLD_DATA_FLOW_CTR_INFO', noColdFlow),
  refused('SET_COMMITLOG_READ_MODE', noColdFlow),

  // broker to client (2F)
  elsewhere('CHECK_TRANSACTION_STATE', pushed),
  elsewhere('NOTIFY_CONSUMER_IDS_CHANGED', pushed),
  elsewhere('RESET_CONSUMER_CLIENT_OFFSET', `${pushed}; ${viaReset}`),
  elsewhere('GET_CONSUMER_STATUS_FROM_CLIENT', `${pushed}; ask INVOKE_BROKER_TO_GET_CONSUMER_STATUS (223)`),
  elsewhere('PUSH_REPLY_MESSAGE_TO_CLIENT', pushed),

  // slaves and controllers
  refused('GET_ALL_CONSUMER_OFFSET', noSlave),
  refused('GET_ALL_DELAY_OFFSET', noSlave),
  refused('GET_TIMER_CHECK_POINT', noSlave),
  refused('ADD_BROKER', 'run one process per broker'),
  refused('REMOVE_BROKER', 'run one process per broker'),
  refused('NOTIFY_MIN_BROKER_ID_CHANGE', noSlave),
  refused('EXCHANGE_BROKER_HA_INFO', noSlave),
  refused('GET_BROKER_HA_STATUS', noSlave),
  refused('RESET_MASTER_FLUSH_OFFSET', noSlave),
  elsewhere('CONTROLLER_ALTER_SYNC_STATE_SET', noController),
  elsewhere('CONTROLLER_ELECT_MASTER', noController),
  elsewhere('CONTROLLER_REGISTER_BROKER', noController),
  elsewhere('CONTROLLER_GET_REPLICA_INFO', noController),
  elsewhere('CONTROLLER_GET_METADATA_INFO', noController),
  elsewhere('CONTROLLER_GET_SYNC_STATE_DATA', noController),
  refused('GET_BROKER_EPOCH_CACHE', noController),
  refused('NOTIFY_BROKER_ROLE_CHANGED', noController),
  elsewhere('UPDATE_CONTROLLER_CONFIG', noController),
  elsewhere('GET_CONTROLLER_CONFIG', noController),
  elsewhere('CLEAN_BROKER_DATA', noController),
  elsewhere('CONTROLLER_GET_NEXT_BROKER_ID', noController),
  elsewhere('CONTROLLER_APPLY_BROKER_ID', noController),
  elsewhere('BROKER_CLOSE_CHANNEL_REQUEST', noController),
  elsewhere('CHECK_NOT_ACTIVE_BROKER_REQUEST', noController),
  elsewhere('GET_BROKER_LIVE_INFO_REQUEST', noController),
  elsewhere('GET_SYNC_STATE_DATA_REQUEST', noController),
  elsewhere('RAFT_BROKER_HEART_BEAT_EVENT_REQUEST', noController),

  // users and ACLs
  refused('UPDATE_AND_CREATE_ACL_CONFIG', noAcl),
  refused('DELETE_ACL_CONFIG', noAcl),
  refused('GET_BROKER_CLUSTER_ACL_INFO', noAcl),
  refused('UPDATE_GLOBAL_WHITE_ADDRS_CONFIG', noAcl),
  refused('GET_BROKER_CLUSTER_ACL_CONFIG', noAcl),
  refused('AUTH_CREATE_USER', noAcl),
  refused('AUTH_UPDATE_USER', noAcl),
  refused('AUTH_DELETE_USER', noAcl),
  refused('AUTH_GET_USER', noAcl),
  refused('AUTH_LIST_USER', noAcl),
  refused('AUTH_CREATE_ACL', noAcl),
  refused('AUTH_UPDATE_ACL', noAcl),
  refused('AUTH_DELETE_ACL', noAcl),
  refused('AUTH_GET_ACL', noAcl),
  refused('AUTH_LIST_ACL', noAcl),

  // TandemMQ's own; JSON bodies
  served('PENDING_TRANSACTIONS', 'transaction'),
  served('LIST_TRANSACTIONS', 'transaction'),
  served('RESOLVE_TRANSACTION', 'transaction'),
  served('LIST_TIMERS', 'timer'),
  served('DEAD_LETTER_STATE', 'redrive'),
  served('REDRIVE_DEAD_LETTERS', 'redrive'),
  served('LIST_HELD_GROUPS', 'heldGroup'),
  served('BROKER_STATS', 'admin'),
  served('RESCHEDULE_TIMER', 'timer'),
  served('CANCEL_TIMER_BY_KEY', 'timer'),
  elsewhere('CHECK_TRANSACTIONS', pushed),
  served('END_TRANSACTIONS', 'transaction'),
  served('LIST_RESOLVED_TRANSACTIONS', 'transaction'),
]

/** Answers of a broker to known codes that it does not serve, by code. */
export const refusals: ReadonlyMap<number, Refusal> = new Map(
  requestTable.flatMap(({ code, refusal }) => (refusal === undefined ? [] : [[code, refusal] as const])),
)

/** Answers of a name server without a broker: as a broker's, but what only brokers serve is to be asked there. */
export const nameServerRefusals: ReadonlyMap<number, Refusal> = new Map(
  requestTable.map(({ name, code, refusal }) => {
    return [code, refusal ?? (refused(name, 'this is a name server without a broker; ask a broker').refusal as Refusal)]
  }),
)

/**
 * Joins the table with the handlers.
 * @param rooms what each `servedBy` of the table stands for
 * @throws {Error} when a row has no handler or a handler no row: the table must be the truth
 */
export function assemble(rooms: Readonly<Record<string, ReadonlyMap<number, Handler>>>): Map<number, Handler> {
  const handlers = new Map<number, Handler>()
  for (const { name, code, servedBy } of requestTable) {
    if (servedBy === undefined) continue
    const handler = rooms[servedBy]?.get(code)
    if (handler === undefined) throw new Error(`${name} ${code} has no handler in "${servedBy}"`)
    handlers.set(code, handler)
  }
  for (const [room, own] of Object.entries(rooms)) {
    const strays = [...own].filter(([code, handler]) => handlers.get(code) !== handler).map(([code]) => code)
    if (strays.length > 0)
      throw new Error(`"${room}" has handlers without a row in the request table: ${strays.join()}`)
  }
  return handlers
}
