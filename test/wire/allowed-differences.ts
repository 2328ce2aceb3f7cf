/** Where our answers differ from those recorded of Apache RocketMQ 5.3.3, on purpose. */
export interface AllowedDifference {
  /** Code of the request. */
  request: number
  /** Text of the difference, see answers.test.ts. */
  difference: RegExp
  /** Only in these recordings. */
  file?: RegExp
  reason: string
}

const ours = 'a field of ours: stock clients pass over what they do not know'
const setting = 'the recorded broker was set otherwise; we have no such setting'

export const allowedDifferences: readonly AllowedDifference[] = [
  {
    request: 11,
    difference: /^code 26, ours 0$/,
    file: /^error-group-not-exist/,
    reason: `autoCreateSubscriptionGroup=false: ${setting}`,
  },
  { request: 36, difference: /^code 26, ours 0$/, file: /^error-group-not-exist/, reason: setting },
  { request: 11, difference: /^code 19, ours 21$/, file: /^reset-offset-by-client/, reason: 'see 220 there' },
  {
    request: 11,
    difference: /^code 0, ours 23$/,
    file: /^error-subscription-not-exist/,
    reason: 'an SQL92 expression that does not compile is refused, not taken for "everything"',
  },
  { request: 11, difference: /^field forbiddenType integer, ours absent$/, reason: 'no client reads it' },
  {
    request: 14,
    difference: /^code 22, ours 0$/,
    reason:
      'an empty queue begins at 0: who is told "nothing" asks for its end a moment later and misses what came in between',
  },
  { request: 37, difference: /^field (outcome|conflict) absent, ours \w+$/, reason: ours },
  {
    request: 105,
    difference: /^code 17, ours 0$/,
    reason:
      'the route of %RETRY%group is there before the first heartbeat, else a consumer looks again only after 30 s',
  },
  {
    request: 105,
    difference: /^code 0, ours 17$/,
    file: /^mqadmin-topic-list-of-cluster/,
    reason: 'topics of the Apache broker itself that we do not have',
  },
  { request: 203, difference: /^body \/subscriptionConflicts is only in ours$/, reason: ours },
  {
    request: 310,
    difference: /^code 1, ours 13$/,
    file: /^error-empty-body/,
    reason: 'a message without a body is illegal, not an accident',
  },
  {
    request: 310,
    difference: /^code 0, ours 16$/,
    file: /^error-no-permission/,
    reason: 'a topic that is not writable is not written to; Apache asks the permission of the whole broker',
  },
  {
    request: 310,
    difference: /^field (MSG_REGION|TRACE_ON) absent, ours \w+$/,
    file: /^error-send-back/,
    reason: 'Apache answers this one from its handler of accidents',
  },
  {
    request: 310,
    difference: /^code 13, ours 0$/,
    file: /^send-timer/,
    reason: 'delays may be longer than three days',
  },
  {
    request: 310,
    difference: /^field recallHandle absent, ours text$/,
    reason: 'messages parked by delay level can be taken back as well',
  },
  {
    request: 320,
    difference: /^field transactionId absent, ours id$/,
    reason: 'a batch of version 4 has no key of its own, and its sender does not look',
  },
  { request: 325, difference: /^field msgId id, ours integer$/, reason: 'replies are not stored, so they have no id' },
  {
    request: 370,
    difference: /^code 16, ours 0$/,
    file: /^recall-forbidden/,
    reason: `recallMessageEnable: ${setting}`,
  },
  {
    request: 3_442,
    difference: /^(code 3, ours \d+)$/,
    reason: 'what a binary header can hold of POP_MESSAGE is understood',
  },
  {
    request: 200_050,
    difference: /^code 26, ours 0$/,
    file: /^error-group-not-exist/,
    reason: `autoCreateSubscriptionGroup=false: ${setting}`,
  },
  {
    request: 200_051,
    difference: /^code 0, ours 208$/,
    file: /^pop-retry/,
    reason: 'the lease is over and the message went to somebody else: who acknowledges too late is told so',
  },
  {
    request: 25,
    difference: /^code 0, ours 29$/,
    file: /^mqadmin-update-broker-config/,
    reason: 'settings are a closed list: flushIntervalCommitLog is none of ours, and we say so',
  },
  { request: 370, difference: /^field (outcome|msgId) absent, ours \w+$/, reason: ours },
]

/** Questions of the broker to a client that differ. */
export const allowedQuestions: readonly {
  code: number
  file: RegExp
  /** Only those of ours that carry this field. */
  field?: string
  reason: string
}[] = [
  {
    code: 40,
    file: /./,
    field: 'topic',
    reason:
      'members hear at once of other queues of their topic; the recorded broker leaves it to the next look at the route',
  },
  {
    code: 220,
    file: /^reset-offset-by-client/,
    reason: `useServerSideResetOffset=false: ${setting}; the next pull is told instead`,
  },
  { code: 307, file: /^mqadmin-consumer-status/, reason: 'answered by the consumer that stands by, not by a line' },
]

/** Properties that only Apache leaves on a copy it makes of a message: a delivered delayed one, a retry, a dead letter. */
export const propertiesOfCopies: readonly string[] = [
  ...['DELAY', 'REAL_TOPIC', 'REAL_QID', 'WAIT'],
  ...['TIMER_OUT_MS', 'TIMER_ENQUEUE_MS', 'TIMER_DEQUEUE_MS', 'TIMER_DELAY_MS', 'TIMER_DELAY_SEC', 'TIMER_DELIVER_MS'],
]
