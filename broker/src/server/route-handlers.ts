import { Field, RequestCode, ResponseCode } from '@tandemmq/protocol'
import { type Connection, formatAddress, normalizeHost } from '@tandemmq/remoting'
import type { KvConfig, NameServer } from '../nameserver/index.ts'
import type { Handler } from './handler.ts'
import { dialectJson, standardJson } from './json-dialect.ts'
import { answer, answerAfter, flagOr, textOr } from './request-body.ts'

/** remoting.md 1.5: from 4.9.4 on clients read standard JSON. */
const STANDARD_JSON_VERSION = 401

export interface RouteHandlerOptions {
  nameServer: NameServer
  kvConfig: KvConfig
}

/** The address under which the client of this connection reached us. */
export const dialledAddress = (connection: Connection): string =>
  formatAddress(normalizeHost(connection.localAddress), connection.localPort)

/** Name server codes: routes 105, cluster 106, topic lists 206, 224 and 304, settings 100, 101, 102, 219. */
export function routeHandlers({ nameServer, kvConfig }: RouteHandlerOptions): Map<number, Handler> {
  const route: Handler = (connection, header) => {
    const topic = header.requireText(Field.topic)
    const zoned = flagOr(header, Field.__ZONE_MODE, false)
    const zone = zoned ? textOr(header, Field.__ZONE_NAME, undefined) : undefined
    const found = nameServer.route(topic, dialledAddress(connection), zone)
    if (found === undefined) {
      const remark = `No topic route info in name server for the topic: ${topic}`
      return answer(connection, header, { code: ResponseCode.TOPIC_NOT_EXIST, remark })
    }
    const standard = header.version >= STANDARD_JSON_VERSION || flagOr(header, Field.acceptStandardJsonOnly, false)
    answer(connection, header, { body: standard ? standardJson(found) : dialectJson(found) })
  }
  const cluster: Handler = (connection, header) =>
    answer(connection, header, { body: dialectJson(nameServer.clusterInfo(dialledAddress(connection))) })
  const topics: Handler = (connection, header) =>
    answer(connection, header, { body: dialectJson({ topicList: nameServer.topics() }) })
  const topicsOfCluster: Handler = (connection, header) =>
    answer(connection, header, {
      body: dialectJson({ topicList: nameServer.topics(header.requireText(Field.cluster)) }),
    })

  const systemTopics: Handler = (connection, header) => {
    const { brokerAddrTable, clusterAddrTable } = nameServer.clusterInfo(dialledAddress(connection))
    const topicList = Object.entries(clusterAddrTable).flat(2)
    const [first] = Object.values(brokerAddrTable).flatMap(({ brokerAddrs }) => [...brokerAddrs.values()])
    answer(connection, header, { body: dialectJson({ brokerAddr: first, topicList }) })
  }

  const put: Handler = (connection, header) => {
    const namespace = header.requireText(Field.namespace)
    const work = kvConfig.put(namespace, header.requireText(Field.key), header.requireText(Field.value))
    answerAfter(connection, header, work)
  }
  const get: Handler = (connection, header) => {
    const namespace = header.requireText(Field.namespace)
    const key = header.requireText(Field.key)
    const value = kvConfig.get(namespace, key)
    if (value !== undefined) return answer(connection, header, { extFields: { value } })
    const remark = `No config item, Namespace: ${namespace} Key: ${key}`
    answer(connection, header, { code: ResponseCode.QUERY_NOT_FOUND, remark })
  }
  const remove: Handler = (connection, header) => {
    const work = kvConfig.delete(header.requireText(Field.namespace), header.requireText(Field.key))
    answerAfter(connection, header, work)
  }
  const list: Handler = (connection, header) => {
    const namespace = header.requireText(Field.namespace)
    const table = kvConfig.list(namespace)
    if (table !== undefined) return answer(connection, header, { body: dialectJson({ table }) })
    answer(connection, header, {
      code: ResponseCode.QUERY_NOT_FOUND,
      remark: `No config item, Namespace: ${namespace}`,
    })
  }

  return new Map([
    [RequestCode.GET_ROUTEINFO_BY_TOPIC, route],
    [RequestCode.GET_BROKER_CLUSTER_INFO, cluster],
    [RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER, topics],
    [RequestCode.GET_TOPICS_BY_CLUSTER, topicsOfCluster],
    [RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_NS, systemTopics],
    [RequestCode.PUT_KV_CONFIG, put],
    [RequestCode.GET_KV_CONFIG, get],
    [RequestCode.DELETE_KV_CONFIG, remove],
    [RequestCode.GET_KVLIST_BY_NAMESPACE, list],
  ])
}
