import type { HeaderView } from '@tandemmq/protocol'
import { commandOf, parseLenientJson, RequestCode } from '@tandemmq/protocol'
import type { Connection } from '@tandemmq/remoting'
import { asNumber, asObject, asText } from './json.ts'
import type { QueueConsumer } from './queue-consumer.ts'
import type { MessageQueue } from './route.ts'
import type { Subscription } from './subscription.ts'

/** What a broker may ask a consumer (remoting.md 2F). */
export interface AskedConsumer {
  readonly group: string
  readonly isOrdered: boolean
  readonly startedAt: number
  readonly nameServers: readonly string[]
  readonly queues: readonly QueueConsumer[]
  readonly subscriptions: readonly Subscription[]
  rebalance(): void
  reset(queue: MessageQueue, offset: number): void
}

/** @returns false for a request that is not known here */
export function answerBroker(consumer: AskedConsumer, connection: Connection, header: HeaderView): boolean {
  switch (header.code) {
    case RequestCode.NOTIFY_CONSUMER_IDS_CHANGED:
      consumer.rebalance()
      if (!header.isOneway) connection.reply(header, { code: 0 })
      return true
    case RequestCode.RESET_CONSUMER_CLIENT_OFFSET: {
      const { extFields, body } = commandOf(header)
      if (!header.isOneway) connection.reply(header, { code: 0 })
      if (extFields['group'] === consumer.group) resetQueues(consumer, body)
      return true
    }
    case RequestCode.GET_CONSUMER_STATUS_FROM_CLIENT:
      connection.reply(header, { code: 0, body: Buffer.from(statusBody(consumer)) })
      return true
    case RequestCode.GET_CONSUMER_RUNNING_INFO:
      connection.reply(header, { code: 0, body: Buffer.from(runningInfo(consumer)) })
      return true
    default:
      return false
  }
}

function resetQueues(consumer: AskedConsumer, body: Buffer): void {
  const table = asObject(asObject(parseLenientJson(body.toString('utf8')))['offsetTable'])
  for (const [key, offset] of Object.entries(table)) {
    const queue = asObject(parseLenientJson(key))
    consumer.reset(
      {
        topic: asText(queue['topic']),
        brokerName: asText(queue['brokerName']),
        queueId: asNumber(queue['queueId']),
      },
      asNumber(offset),
    )
  }
}

/** fastjson's map with objects as keys: `{{"brokerName":"b","queueId":0,"topic":"t"}:5}`. */
function queueTable(queues: readonly QueueConsumer[], value: (queue: QueueConsumer) => unknown): string {
  const entries = queues.map((queue) => {
    const { brokerName, queueId, topic } = queue.queue
    return `${JSON.stringify({ brokerName, queueId, topic })}:${JSON.stringify(value(queue))}`
  })
  return `{${entries.join(',')}}`
}

function statusBody(consumer: AskedConsumer): string {
  return `{"consumerTable":{},"messageQueueTable":${queueTable(consumer.queues, (queue) => queue.commitOffset)}}`
}

function runningInfo(consumer: AskedConsumer): string {
  const properties = {
    PROP_NAMESERVER_ADDR: consumer.nameServers.join(';'),
    PROP_CONSUMEORDERLY: String(consumer.isOrdered),
    PROP_CONSUME_TYPE: 'CONSUME_PASSIVELY',
    PROP_CLIENT_VERSION: 'V5_1_4',
    PROP_CONSUMER_START_TIMESTAMP: String(consumer.startedAt),
  }
  const queues = queueTable(consumer.queues, (queue) => ({
    cachedMsgCount: queue.cachedMessages,
    cachedMsgMaxOffset: 0,
    cachedMsgMinOffset: queue.commitOffset,
    cachedMsgSizeInMiB: 0,
    commitOffset: queue.commitOffset,
    droped: queue.isStopped,
    lastConsumeTimestamp: 0,
    lastLockTimestamp: 0,
    lastPullTimestamp: queue.lastPullAt,
    locked: consumer.isOrdered,
    transactionMsgCount: 0,
    transactionMsgMaxOffset: 0,
    transactionMsgMinOffset: 0,
    tryUnlockTimes: 0,
  }))
  const subscriptions = JSON.stringify(consumer.subscriptions.map((subscription) => subscription.data))
  return (
    `{"mqPopTable":{},"mqTable":${queues},"properties":${JSON.stringify(properties)},` +
    `"statusTable":{},"subscriptionSet":${subscriptions},"userConsumerInfo":{}}`
  )
}
