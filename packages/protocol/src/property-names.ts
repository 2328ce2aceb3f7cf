/** Names of message properties (MessageConst.java, remoting.md 3.5) and, at the end, our own. */
export const PropertyName = {
  KEYS: 'KEYS',
  TAGS: 'TAGS',
  /** Removed before the message is stored. */
  WAIT: 'WAIT',
  /** Delay level. */
  DELAY: 'DELAY',
  RETRY_TOPIC: 'RETRY_TOPIC',
  REAL_TOPIC: 'REAL_TOPIC',
  REAL_QID: 'REAL_QID',
  TRAN_MSG: 'TRAN_MSG',
  PGROUP: 'PGROUP',
  MIN_OFFSET: 'MIN_OFFSET',
  MAX_OFFSET: 'MAX_OFFSET',
  ORIGIN_MESSAGE_ID: 'ORIGIN_MESSAGE_ID',
  RECONSUME_TIME: 'RECONSUME_TIME',
  MAX_RECONSUME_TIMES: 'MAX_RECONSUME_TIMES',
  MSG_REGION: 'MSG_REGION',
  TRACE_ON: 'TRACE_ON',
  CLUSTER: 'CLUSTER',
  UNIQ_KEY: 'UNIQ_KEY',
  CONSUME_START_TIME: 'CONSUME_START_TIME',
  INNER_NUM: 'INNER_NUM',
  INNER_BASE: 'INNER_BASE',
  CHECK_IMMUNITY_TIME_IN_SECONDS: 'CHECK_IMMUNITY_TIME_IN_SECONDS',
  TRAN_PREPARED_QUEUE_OFFSET: 'TRAN_PREPARED_QUEUE_OFFSET',
  TRANSACTION_ID: '__transactionId__',
  TRANSACTION_CHECK_TIMES: 'TRANSACTION_CHECK_TIMES',
  INSTANCE_ID: 'INSTANCE_ID',
  CORRELATION_ID: 'CORRELATION_ID',
  REPLY_TO_CLIENT: 'REPLY_TO_CLIENT',
  TTL: 'TTL',
  MSG_TYPE: 'MSG_TYPE',
  PUSH_REPLY_TIME: 'PUSH_REPLY_TIME',
  ARRIVE_TIME: 'ARRIVE_TIME',
  POP_CK: 'POP_CK',
  FIRST_POP_TIME: '1ST_POP_TIME',
  SHARDING_KEY: '__SHARDINGKEY',
  /** Since 5.4: 0 and up, higher is delivered first by pops of a topic of type PRIORITY. */
  PRIORITY: '_SYS_MSG_PRIORITY_',
  TRACE_CONTEXT: 'TRACE_CONTEXT',
  TIMER_DELAY_SEC: 'TIMER_DELAY_SEC',
  TIMER_DELAY_MS: 'TIMER_DELAY_MS',
  TIMER_DELIVER_MS: 'TIMER_DELIVER_MS',
  TIMER_OUT_MS: 'TIMER_OUT_MS',
  TIMER_DEL_UNIQKEY: 'TIMER_DEL_UNIQKEY',
  DLQ_ORIGIN_TOPIC: 'DLQ_ORIGIN_TOPIC',
  DLQ_ORIGIN_MESSAGE_ID: 'DLQ_ORIGIN_MESSAGE_ID',
  /** TandemMQ: queue and offset of the message a dead letter began as. */
  DLQ_ORIGIN_QUEUE_ID: 'DLQ_ORIGIN_QUEUE_ID',
  DLQ_ORIGIN_QUEUE_OFFSET: 'DLQ_ORIGIN_QUEUE_OFFSET',
  /** TandemMQ: offset of the dead letter this message was sent back to its group from. */
  DLQ_REDRIVEN_FROM: 'DLQ_REDRIVEN_FROM',
  /** Ours: why a message became a dead letter. */
  DLQ_REASON: 'DLQ_REASON',
  /** Ours: the application's own key for dropping repeats, instead of UNIQ_KEY. */
  DEDUP_KEY: 'DEDUP_KEY',
  /** Ours: the lease of the first delivery ran out without a word, so nobody knows whether a handler saw the message. */
  FIRST_UNSEEN: 'TANDEM_FIRST_UNSEEN',
  /** Ours: which database a half message belongs to. */
  TANDEM_DOMAIN: 'TANDEM_DOMAIN',
} as const
