import {
  Field,
  fieldName,
  parseLenientJson,
  parseOffsetMessageId,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  TandemError,
} from '@tandemmq/protocol'
import { BrokerError } from '../broker-error.ts'
import type { ConsumerGroups, ConsumerMember, ReadRecord, Topics } from '../queueing/index.ts'
import type { Handler } from './handler.ts'
import { dialectJson } from './json-dialect.ts'
import { type ReplyTo, answerAfter, flagOr, textOr } from './request-body.ts'

/** remoting.md 2F: how long a client may take to tell about itself. */
const CLIENT_ANSWER_MS = 10_000
const msgIdField = fieldName('msgId')

/** Questions an operator asks one consumer through the broker: running info 307, try a message 309, its offsets 223. */
export function clientRelayHandlers(options: {
  groups: ConsumerGroups
  topics: Topics
  read: ReadRecord
  brokerName: string
}): Map<number, Handler> {
  const { groups, topics, read, brokerName } = options

  const runningInfo: Handler = (connection, header) => {
    const consumerGroup = header.requireText(Field.consumerGroup)
    const member = memberOf(groups, consumerGroup, header.requireText(Field.clientId))
    const jstackEnable = flagOr(header, Field.jstackEnable, false)
    const extFields = { consumerGroup, clientId: member.clientId, jstackEnable }
    const told = ask(member, { code: RequestCode.GET_CONSUMER_RUNNING_INFO, extFields })
    answerAfter(connection, header, told, (given, request) => relay(connection, request, given))
  }

  const consumeDirectly: Handler = (connection, header) => {
    const consumerGroup = header.requireText(Field.consumerGroup)
    const member = memberOf(groups, consumerGroup, header.requireText(Field.clientId))
    const msgId = header.requireText(msgIdField)
    const body = read(Number(parseOffsetMessageId(msgId).physicalOffset))
    if (body === undefined) throw new BrokerError('SYSTEM_ERROR', `there is no message ${msgId}`, { retryable: false })
    const topic = textOr(header, Field.topic, undefined)
    const extFields = {
      consumerGroup,
      clientId: member.clientId,
      msgId,
      brokerName,
      groupSysFlag: groups.find(consumerGroup)?.config.groupSysFlag ?? 0,
      topicSysFlag: topics.find(topic ?? '')?.sysFlag ?? 0,
      ...(topic !== undefined && { topic }),
    }
    const told = ask(member, { code: RequestCode.CONSUME_MESSAGE_DIRECTLY, extFields, body })
    answerAfter(connection, header, told, (given, request) => relay(connection, request, given))
  }

  const consumerStatus: Handler = (connection, header) => {
    const topic = header.requireText(Field.topic)
    const group = header.requireText(Field.group)
    const only = textOr(header, Field.clientAddr, '')
    const members = groups.members(group).filter(({ clientId }) => only === '' || clientId === only)
    if (members.length === 0) throw notOnline(group, only)
    const work = Promise.all(
      members.map(async (member) => {
        const extFields = { topic, group }
        const given = await ask(member, { code: RequestCode.GET_CONSUMER_STATUS_FROM_CLIENT, extFields })
        return [member.clientId, queueOffsetsOf(given)] as const
      }),
    )
    answerAfter(connection, header, work, (told, request) => {
      const body = Buffer.from(dialectJson({ consumerTable: new Map(told), messageQueueTable: {} }))
      if (!request.isOneway && connection.isOpen) connection.reply(request, { code: ResponseCode.SUCCESS, body })
    })
  }

  return new Map([
    [RequestCode.GET_CONSUMER_RUNNING_INFO, runningInfo],
    [RequestCode.CONSUME_MESSAGE_DIRECTLY, consumeDirectly],
    [RequestCode.INVOKE_BROKER_TO_GET_CONSUMER_STATUS, consumerStatus],
  ])
}

function memberOf(groups: ConsumerGroups, group: string, clientId: string): ConsumerMember {
  const member = groups.members(group).find((one) => one.clientId === clientId && one.connection.isOpen)
  if (member === undefined) throw notOnline(group, clientId)
  return member
}

const notOnline = (group: string, clientId: string): BrokerError =>
  new BrokerError('SYSTEM_ERROR', `the consumer <${group}> <${clientId}> is not online`, { retryable: false })

type Told = Pick<RemotingCommand, 'code' | 'body'> & { remark?: string }

/** A client that stays silent is an answer of its own: tools tell 207 from "not online". */
async function ask(
  { connection, clientId }: ConsumerMember,
  init: { code: number; extFields: Record<string, string | number | boolean>; body?: Buffer },
): Promise<Told> {
  try {
    return await connection.request(init, CLIENT_ANSWER_MS)
  } catch (error) {
    if (!(error instanceof TandemError && error.code === 'REQUEST_TIMEOUT')) throw error
    const remark = `the consumer ${clientId} did not answer within ${CLIENT_ANSWER_MS} ms`
    return { code: ResponseCode.CONSUME_MSG_TIMEOUT, remark, body: Buffer.alloc(0) }
  }
}

function relay(connection: Parameters<Handler>[0], request: ReplyTo, given: Told): void {
  if (request.isOneway || !connection.isOpen) return
  const { code, remark, body } = given
  connection.reply(request, { code, ...(remark !== undefined && { remark }), extFields: {}, body })
}

/** The client's table keyed by whole queue objects, kept in the form that stock readers expect. */
function queueOffsetsOf({ code, body }: Told): Map<unknown, unknown> {
  if (code !== ResponseCode.SUCCESS || body.length === 0) return new Map()
  const told = parseLenientJson(body.toString('utf8')) as { messageQueueTable?: Record<string, unknown> }
  return new Map(Object.entries(told.messageQueueTable ?? {}).map(([queue, offset]) => [JSON.parse(queue), offset]))
}
