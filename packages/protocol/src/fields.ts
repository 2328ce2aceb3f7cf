/** Name of a header field with its UTF-8 bytes and their hash, made once, so that looking it up makes no string. */
export interface FieldName {
  readonly text: string
  readonly bytes: Buffer
  readonly hash: number
}

/** One step of the hash of field names: shared by the scanners and {@link fieldName}. */
export function hashStep(hash: number, byte: number): number {
  return (Math.imul(hash, 31) + byte) | 0
}

/** Makes the name of a header field; keep it, do not make it per request. */
export function fieldName(text: string): FieldName {
  const bytes = Buffer.from(text, 'utf8')
  let hash = 0
  for (const byte of bytes) hash = hashStep(hash, byte)
  return { text, bytes, hash }
}

/** Every header field a request or answer of ours is read from; the Java field names. */
export const Field = {
  _UNIQUE_KEY_QUERY: fieldName('_UNIQUE_KEY_QUERY'),
  acceptStandardJsonOnly: fieldName('acceptStandardJsonOnly'),
  attemptId: fieldName('attemptId'),
  attributes: fieldName('attributes'),
  batch: fieldName('batch'),
  beginTimestamp: fieldName('beginTimestamp'),
  bname: fieldName('bname'),
  bornHost: fieldName('bornHost'),
  bornTime: fieldName('bornTime'),
  bornTimestamp: fieldName('bornTimestamp'),
  boundaryType: fieldName('boundaryType'),
  brokerAddr: fieldName('brokerAddr'),
  brokerId: fieldName('brokerId'),
  brokerName: fieldName('brokerName'),
  cleanOffset: fieldName('cleanOffset'),
  clientAddr: fieldName('clientAddr'),
  clientID: fieldName('clientID'),
  clientId: fieldName('clientId'),
  cluster: fieldName('cluster'),
  clusterName: fieldName('clusterName'),
  commitLogOffset: fieldName('commitLogOffset'),
  commitOffset: fieldName('commitOffset'),
  commitOrRollback: fieldName('commitOrRollback'),
  committed: fieldName('committed'),
  consumerGroup: fieldName('consumerGroup'),
  count: fieldName('count'),
  defaultTopic: fieldName('defaultTopic'),
  defaultTopicQueueNums: fieldName('defaultTopicQueueNums'),
  delayLevel: fieldName('delayLevel'),
  destGroup: fieldName('destGroup'),
  endTimestamp: fieldName('endTimestamp'),
  exp: fieldName('exp'),
  expType: fieldName('expType'),
  expressionType: fieldName('expressionType'),
  extraInfo: fieldName('extraInfo'),
  flag: fieldName('flag'),
  force: fieldName('force'),
  fromTransactionCheck: fieldName('fromTransactionCheck'),
  group: fieldName('group'),
  groupName: fieldName('groupName'),
  index: fieldName('index'),
  initMode: fieldName('initMode'),
  invisibleTime: fieldName('invisibleTime'),
  isForce: fieldName('isForce'),
  jstackEnable: fieldName('jstackEnable'),
  key: fieldName('key'),
  lo: fieldName('lo'),
  maxMsgBytes: fieldName('maxMsgBytes'),
  maxMsgNums: fieldName('maxMsgNums'),
  maxNum: fieldName('maxNum'),
  maxOffset: fieldName('maxOffset'),
  maxReconsumeTimes: fieldName('maxReconsumeTimes'),
  minOffset: fieldName('minOffset'),
  msgId: fieldName('msgId'),
  namespace: fieldName('namespace'),
  nextBeginOffset: fieldName('nextBeginOffset'),
  ns: fieldName('ns'),
  nsd: fieldName('nsd'),
  offset: fieldName('offset'),
  offsetMsgId: fieldName('offsetMsgId'),
  offline: fieldName('offline'),
  order: fieldName('order'),
  originMsgId: fieldName('originMsgId'),
  originTopic: fieldName('originTopic'),
  perm: fieldName('perm'),
  pollTime: fieldName('pollTime'),
  producerGroup: fieldName('producerGroup'),
  properties: fieldName('properties'),
  queueId: fieldName('queueId'),
  queueOffset: fieldName('queueOffset'),
  readQueueNums: fieldName('readQueueNums'),
  recallHandle: fieldName('recallHandle'),
  reconsumeTimes: fieldName('reconsumeTimes'),
  setZeroIfNotFound: fieldName('setZeroIfNotFound'),
  srcGroup: fieldName('srcGroup'),
  statsKey: fieldName('statsKey'),
  statsName: fieldName('statsName'),
  storeHost: fieldName('storeHost'),
  storeTimestamp: fieldName('storeTimestamp'),
  subVersion: fieldName('subVersion'),
  subscription: fieldName('subscription'),
  suggestWhichBrokerId: fieldName('suggestWhichBrokerId'),
  suspendTimeoutMillis: fieldName('suspendTimeoutMillis'),
  sysFlag: fieldName('sysFlag'),
  timestamp: fieldName('timestamp'),
  topic: fieldName('topic'),
  topicFilterType: fieldName('topicFilterType'),
  topicSysFlag: fieldName('topicSysFlag'),
  tranStateTableOffset: fieldName('tranStateTableOffset'),
  transactionId: fieldName('transactionId'),
  unitMode: fieldName('unitMode'),
  value: fieldName('value'),
  writeQueueNums: fieldName('writeQueueNums'),
} as const
