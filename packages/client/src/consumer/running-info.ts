import type { MessageQueue } from '../cluster/route.ts'
import type { AskedConsumer } from './asked-consumer.ts'

/** As CLIENT_VERSION on the wire; mqadmin prints it. */
const CLIENT_VERSION_NAME = 'V5_1_4'

/** Positions for code 221, as Java tells them: what is committed next, by queue. */
export function consumerStatus({ consumption }: AskedConsumer, topic: string | undefined): Buffer {
  const queues = consumption.queues().filter(({ queue }) => topic === undefined || queue.topic === topic)
  const table = queueTable(queues, (queue) => queue.commitOffset)
  return Buffer.from(`{"consumerTable":{},"messageQueueTable":${table}}`)
}

/**
 * ConsumerRunningInfo for code 307 (remoting.md 2F).
 * @param withHandlers adds what the handlers are doing where a Java client puts its thread dump
 */
export function runningInfo(consumer: AskedConsumer, withHandlers: boolean): Buffer {
  const { consumption, settings, subscriptions, core } = consumer
  const properties = {
    PROP_NAMESERVER_ADDR: core.settings.nameServers.join(';'),
    PROP_THREADPOOL_CORE_SIZE: String(settings.concurrencyMax),
    PROP_CONSUMEORDERLY: String(consumption.isOrdered),
    PROP_CONSUME_TYPE: 'CONSUME_PASSIVELY',
    PROP_CLIENT_VERSION: CLIENT_VERSION_NAME,
    PROP_CONSUMER_START_TIMESTAMP: String(Math.floor(consumer.startedAt)),
  }
  const queues = queueTable(consumption.queues(), (queue) => ({
    cachedMsgCount: queue.cachedMessages,
    cachedMsgMaxOffset: 0,
    cachedMsgMinOffset: queue.commitOffset,
    cachedMsgSizeInMiB: queue.cachedBytes >> 20,
    commitOffset: queue.commitOffset,
    droped: queue.isStopped,
    lastConsumeTimestamp: queue.lastConsumeAt,
    lastLockTimestamp: 0,
    lastPullTimestamp: queue.lastPullAt,
    locked: consumption.isOrdered,
    transactionMsgCount: 0,
    transactionMsgMaxOffset: 0,
    transactionMsgMinOffset: 0,
    tryUnlockTimes: 0,
  }))
  const pops = queueTable(consumption.popSources(), ({ isStopped, lastPopAt, waitingForAck }) => ({
    droped: isStopped,
    lastPopTimestamp: lastPopAt,
    waitAckCount: waitingForAck,
  }))
  const subscriptionSet = JSON.stringify([...subscriptions.values()].map(({ data }) => data))
  const jstack = withHandlers ? `"jstack":${JSON.stringify(handlersAtWork(consumer))},` : ''
  return Buffer.from(
    `{${jstack}"mqPopTable":${pops},"mqTable":${queues},"properties":${JSON.stringify(properties)},` +
      `"statusTable":{},"subscriptionSet":${subscriptionSet},"userConsumerInfo":{}}`,
  )
}

function handlersAtWork({ consumption }: AskedConsumer): string {
  const lines = consumption.handlers
    .atWork()
    .map(
      ({ message, runningMs }) =>
        `${message.topic} ${message.messageId} attempt ${message.attempt}: ${Math.round(runningMs)} ms`,
    )
  return [`${lines.length} handlers at work`, ...lines].join('\n')
}

/** fastjson's map with objects as keys: `{{"brokerName":"b","queueId":0,"topic":"t"}:5}`. */
function queueTable<Q extends { readonly queue: MessageQueue }>(queues: readonly Q[], value: (queue: Q) => unknown) {
  const entries = queues.map((queue) => {
    const { brokerName, queueId, topic } = queue.queue
    return `${JSON.stringify({ brokerName, queueId, topic })}:${JSON.stringify(value(queue))}`
  })
  return `{${entries.join(',')}}`
}
