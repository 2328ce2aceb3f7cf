import type { HeaderView } from '@tandemmq/protocol'
import { commandOf, parseLenientJson, RequestCode, ResponseCode } from '@tandemmq/protocol'
import type { Connection } from '@tandemmq/remoting'
import { ClientError, messageOf } from '../client-error.ts'
import type { MessageQueue } from '../cluster/route.ts'
import { asArray, asNumber, asObject, asText } from '../json.ts'
import type { AskedConsumer } from './asked-consumer.ts'
import { consumeDirectly } from './consume-directly.ts'
import { consumerStatus, runningInfo } from './running-info.ts'

/** @returns false for a request that is not known here */
export function answerBroker(consumer: AskedConsumer, connection: Connection, header: HeaderView): boolean {
  switch (header.code) {
    case RequestCode.NOTIFY_CONSUMER_IDS_CHANGED:
      onGroupChanged(consumer, commandOf(header).extFields['topic'])
      if (!header.isOneway) connection.reply(header, { code: 0 })
      return true
    case RequestCode.RESET_CONSUMER_CLIENT_OFFSET: {
      const { extFields, body } = commandOf(header)
      if (!header.isOneway) connection.reply(header, { code: 0 })
      if (extFields['group'] === consumer.group) {
        for (const { queue, offset } of offsetsOf(body)) consumer.consumption.reset(queue, offset)
      }
      return true
    }
    case RequestCode.GET_CONSUMER_STATUS_FROM_CLIENT: {
      const { extFields } = commandOf(header)
      checkGroup(consumer, extFields['group'])
      connection.reply(header, { code: 0, body: consumerStatus(consumer, extFields['topic']) })
      return true
    }
    case RequestCode.GET_CONSUMER_RUNNING_INFO: {
      const { extFields } = commandOf(header)
      checkGroup(consumer, extFields['consumerGroup'])
      connection.reply(header, { code: 0, body: runningInfo(consumer, extFields['jstackEnable'] === 'true') })
      return true
    }
    case RequestCode.CONSUME_MESSAGE_DIRECTLY: {
      const request = commandOf(header)
      checkGroup(consumer, request.extFields['consumerGroup'])
      consumeDirectly(consumer, request)
        .then((result) => ({ code: ResponseCode.SUCCESS, body: Buffer.from(JSON.stringify(result)) }))
        .catch((error: unknown) => ({ code: ResponseCode.SYSTEM_ERROR, remark: messageOf(error) }))
        .then((answer) => connection.isOpen && connection.reply(request, answer))
        .catch((error: unknown) => consumer.core.logger.warn(`answer to an operator not sent: ${messageOf(error)}`))
      return true
    }
    default:
      return false
  }
}

/** Java answers a question about another group with an error, too. */
function checkGroup(consumer: AskedConsumer, group: string | undefined): void {
  if (group === consumer.group) return
  throw new ClientError('INVALID_PARAMETER', `the consumer group ${group ?? ''} does not exist in this client`)
}

/** The three forms of a table of offsets: objects as keys, pairs of queue and offset, flat rows (remoting.md 1.8). */
function offsetsOf(body: Buffer): { queue: MessageQueue; offset: number }[] {
  const table = asObject(parseLenientJson(body.toString('utf8')))['offsetTable']
  if (!Array.isArray(table)) {
    return Object.entries(asObject(table)).map(([key, offset]) => ({
      queue: queueOf(parseLenientJson(key)),
      offset: asNumber(offset),
    }))
  }
  return table.map((row: unknown) => {
    const [queue, offset] = Array.isArray(row) ? asArray(row) : [row, asObject(row)['offset']]
    return { queue: queueOf(queue), offset: asNumber(offset) }
  })
}

function queueOf(value: unknown): MessageQueue {
  const queue = asObject(value)
  return {
    topic: asText(queue['topic']),
    brokerName: asText(queue['brokerName']),
    queueId: asNumber(queue['queueId']),
  }
}

/** @param topic TandemMQ's: not the members have changed but the queues of this topic */
function onGroupChanged(consumer: AskedConsumer, topic: string | undefined): void {
  if (topic === undefined) consumer.refresh()
  else consumer.core.doubts.look(topic)
}
