import { crc32Of, Field, type HeaderView, ProtocolError, RequestCode } from '@tandemmq/protocol'
import { parseAddress } from '@tandemmq/remoting'
import { BrokerError } from '../broker-error.ts'
import {
  type BrokerIdentity,
  dataVersionOf,
  decodeRegistration,
  type NameServer,
  type QueueData,
} from '../nameserver/index.ts'
import type { Handler } from './handler.ts'
import { dialectJson } from './json-dialect.ts'
import { answer, flagOr, integerOr, jsonBody, textOr } from './request-body.ts'
import { dialledAddress } from './route-handlers.ts'

const MASTER_ID = 0
const NAME_CHARACTERS_MAX = 255
const CRC_MASK = 0x7fffffff
const QUEUES_MAX = 65_535

export interface RegistryHandlerOptions {
  nameServer: NameServer
  /** What the broker of this process sends with its own registrations, so that it knows itself again. */
  instanceId: string
}

/**
 * Name server codes about brokers (remoting.md 2D): register 103, leave 104, data version 322, heartbeat 904, addresses of a broker
 * 901, take out of writing 205 and back 327, routes of single topics 216 and 217.
 */
export function registryHandlers({ nameServer, instanceId }: RegistryHandlerOptions): Map<number, Handler> {
  const { registry } = nameServer

  const register: Handler = (connection, header) => {
    const who = identityOf(header)
    if (who.brokerName === nameServer.local?.brokerName) {
      if (textOr(header, Field.instanceId, '') === instanceId) return answer(connection, header)
      const advice = 'brokers of one cluster need different names (option brokerName)'
      throw new BrokerError('INVALID_PARAMETER', `${who.brokerName} is the name of the broker here; ${advice}`)
    }
    const { bytes, bodyStart, bodyEnd, version } = header
    const expected = integerOr(header, Field.bodyCrc32, 0)
    if (expected !== 0 && (crc32Of(bytes, bodyStart, bodyEnd) & CRC_MASK) !== expected) {
      throw new BrokerError('SYSTEM_ERROR', 'the body does not have the checksum bodyCrc32')
    }
    const registration = decodeRegistration(bytes.subarray(bodyStart, bodyEnd), {
      compressed: flagOr(header, Field.compressed, false),
      version,
    })
    const timeout = header.find(Field.heartbeatTimeoutMillis)
    const acting = header.find(Field.enableActingMaster)
    const master = registry.register(
      who,
      {
        haServerAddr: textOr(header, Field.haServerAddr, ''),
        heartbeatTimeoutMs: timeout < 0 ? undefined : header.longClamped(timeout),
        enableActingMaster: acting < 0 ? undefined : header.flagOf(acting),
        zoneName: textOr(header, Field.__ZONE_NAME, undefined),
        complete: flagOr(header, Field.completeTable, false),
      },
      registration,
      connection,
    )
    const table = nameServer.orderTopics()
    const order = table === undefined ? {} : { body: dialectJson({ table }) }
    answer(connection, header, { extFields: { ...master }, ...order })
  }

  const unregister: Handler = (connection, header) => {
    registry.unregister(identityOf(header))
    answer(connection, header)
  }

  const queryVersion: Handler = (connection, header) => {
    const who = identityOf(header)
    const version = header.bodyEnd === header.bodyStart ? undefined : jsonBody(header)
    const { changed, known } = registry.queryVersion(who, dataVersionOf(version))
    const body = known === undefined ? {} : { body: JSON.stringify(known) }
    answer(connection, header, { extFields: { changed }, ...body })
  }

  const heartbeat: Handler = (connection, header) => {
    registry.heartbeat(identityOf(header))
    answer(connection, header)
  }

  const members: Handler = (connection, header) => {
    const brokerName = header.requireText(Field.brokerName)
    const cluster = header.requireText(Field.clusterName)
    const brokerAddrs = nameServer.members(brokerName, dialledAddress(connection))
    answer(connection, header, { body: dialectJson({ brokerMemberGroup: { brokerAddrs, brokerName, cluster } }) })
  }

  const setWritable = (field: string, writable: boolean): Handler => {
    return (connection, header) => {
      const count = nameServer.setWritable(header.requireText(Field.brokerName), writable)
      answer(connection, header, { extFields: { [field]: count } })
    }
  }

  const deleteTopic: Handler = (connection, header) => {
    registry.deleteTopic(header.requireText(Field.topic), textOr(header, Field.clusterName, undefined))
    answer(connection, header)
  }

  const registerTopic: Handler = (connection, header) => {
    registry.registerTopic(header.requireText(Field.topic), queueDatasOf(header))
    answer(connection, header)
  }

  return new Map([
    [RequestCode.REGISTER_BROKER, register],
    [RequestCode.UNREGISTER_BROKER, unregister],
    [RequestCode.QUERY_DATA_VERSION, queryVersion],
    [RequestCode.BROKER_HEARTBEAT, heartbeat],
    [RequestCode.GET_BROKER_MEMBER_GROUP, members],
    [RequestCode.WIPE_WRITE_PERM_OF_BROKER, setWritable('wipeTopicCount', false)],
    [RequestCode.ADD_WRITE_PERM_OF_BROKER, setWritable('addTopicCount', true)],
    [RequestCode.DELETE_TOPIC_IN_NAMESRV, deleteTopic],
    [RequestCode.REGISTER_TOPIC_IN_NAMESRV, registerTopic],
  ])
}

/** @throws {ProtocolError} FIELD_MISSING; FIELD_INVALID for names that are too long and an address that is none */
function identityOf(header: HeaderView): BrokerIdentity {
  const id = header.find(Field.brokerId)
  const who = {
    clusterName: header.requireText(Field.clusterName),
    brokerName: header.requireText(Field.brokerName),
    brokerAddr: header.requireText(Field.brokerAddr),
    brokerId: id < 0 ? MASTER_ID : header.longClamped(id),
  }
  for (const [field, text] of [
    ['clusterName', who.clusterName],
    ['brokerName', who.brokerName],
    ['brokerAddr', who.brokerAddr],
  ] as const) {
    if (text.trim() === '' || text.length > NAME_CHARACTERS_MAX || hasControl(text)) {
      throw new ProtocolError('FIELD_INVALID', `${field} must be 1 to ${NAME_CHARACTERS_MAX} visible characters`)
    }
  }
  if (who.brokerId < 0) throw new ProtocolError('FIELD_INVALID', `brokerId must not be negative`)
  try {
    parseAddress(who.brokerAddr)
  } catch (cause) {
    throw new ProtocolError('FIELD_INVALID', `brokerAddr "${who.brokerAddr}" is not host:port`, { cause })
  }
  return who
}

// oxlint-disable-next-line no-control-regex -- control characters are what must not be in a name
const hasControl = (text: string): boolean => /[\u0000-\u001f\u007f]/.test(text)

/** The queues of a TopicRouteData body; entries that are none are left out. */
function queueDatasOf(header: HeaderView): QueueData[] {
  const body = jsonBody(header)
  const list = typeof body === 'object' && body !== null && 'queueDatas' in body ? body.queueDatas : undefined
  if (!Array.isArray(list)) throw new ProtocolError('BODY_INVALID', 'the body has no queueDatas')
  return list.flatMap((entry: unknown) => {
    const { brokerName, perm, readQueueNums, writeQueueNums, topicSysFlag = 0 } = Object(entry) as Partial<QueueData>
    const isQueues = (value: unknown): value is number =>
      Number.isInteger(value) && Number(value) >= 0 && Number(value) <= QUEUES_MAX
    if (typeof brokerName !== 'string' || !isQueues(perm) || !isQueues(topicSysFlag)) return []
    if (!isQueues(readQueueNums) || !isQueues(writeQueueNums)) return []
    return [{ brokerName, perm, readQueueNums, topicSysFlag, writeQueueNums }]
  })
}
