import {
  commandOf,
  type CommandInit,
  encodeProperties,
  encodeRecord,
  type HeaderView,
  hostBytes,
  type RemotingCommand,
  RequestCode,
} from '@tandemmq/protocol'
import { type Connection, type ConnectionOwner, RemotingServer } from '@tandemmq/remoting'
import { MemoryNetwork, VirtualClock } from '@tandemmq/remoting/simulation'

export type Answer = Omit<CommandInit, 'opaque' | 'flag'>
/** `undefined` = no answer now (or never). */
export type Script = (request: RemotingCommand, connection: Connection) => Answer | undefined

export interface World {
  clock: VirtualClock
  network: MemoryNetwork
}

export function world(seed = 1): World {
  const clock = new VirtualClock({ seed })
  return { clock, network: new MemoryNetwork({ clock, latencyMs: 0.5 }) }
}

/** A name server and broker that does what a test tells it, and remembers what it was asked. */
export class FakeBroker implements ConnectionOwner {
  readonly requests: RemotingCommand[] = []
  readonly scripts = new Map<number, Script>()
  readonly connections = new Set<Connection>()
  /** Brokers in every route: name to address. Filled with this one by start(). */
  routes: Record<string, string> = {}
  queues = 2
  members: string[] = []
  #server: RemotingServer

  constructor(
    readonly where: World,
    readonly name = 'b',
    readonly port = 9876,
  ) {
    this.#server = new RemotingServer({ ...where, owner: this, host: '127.0.0.1', port })
    this.routes = { [name]: this.address }
    const on = (code: number, script: Script): void => void this.scripts.set(code, script)
    on(RequestCode.GET_BROKER_CLUSTER_INFO, () => ({ code: 0, body: Buffer.from(this.clusterJson()) }))
    on(RequestCode.GET_ROUTEINFO_BY_TOPIC, () => ({ code: 0, body: Buffer.from(this.routeJson()) }))
    on(RequestCode.HEART_BEAT, (request) => {
      const clientId = (JSON.parse(request.body.toString()) as { clientID: string }).clientID
      if (!this.members.includes(clientId)) this.members.push(clientId)
      return { code: 0 }
    })
    on(RequestCode.UNREGISTER_CLIENT, () => ({ code: 0 }))
    on(RequestCode.GET_CONSUMER_LIST_BY_GROUP, () => ({
      code: 0,
      body: Buffer.from(JSON.stringify({ consumerIdList: this.members })),
    }))
    on(RequestCode.SEND_MESSAGE_V2, (request) => this.stored(request))
  }

  get address(): string {
    return `127.0.0.1:${this.port}`
  }

  start(): Promise<void> {
    return this.#server.start()
  }

  close(): Promise<void> {
    return this.#server.close()
  }

  on(code: number, script: Script): this {
    this.scripts.set(code, script)
    return this
  }

  /** Requests with this code, in order of arrival. */
  asked(code: number): RemotingCommand[] {
    return this.requests.filter((request) => request.code === code)
  }

  stored(request: RemotingCommand): Answer {
    const queueId = request.extFields['e'] ?? '0'
    return { code: 0, extFields: { msgId: '7F00000100002694000000000000002A', queueId, queueOffset: 5 } }
  }

  routeJson(): string {
    const brokerDatas = Object.entries(this.routes).map(
      ([brokerName, address]) => `{"brokerAddrs":{0:"${address}"},"brokerName":"${brokerName}","cluster":"c"}`,
    )
    const queueDatas = Object.keys(this.routes).map((brokerName) =>
      JSON.stringify({ brokerName, perm: 6, readQueueNums: this.queues, writeQueueNums: this.queues, topicSysFlag: 0 }),
    )
    return `{"brokerDatas":[${brokerDatas.join(',')}],"queueDatas":[${queueDatas.join(',')}]}`
  }

  clusterJson(): string {
    const entries = Object.entries(this.routes).map(
      ([name, address]) => `"${name}":{"brokerAddrs":{0:"${address}"},"brokerName":"${name}","cluster":"c"}`,
    )
    return `{"brokerAddrTable":{${entries.join(',')}},"clusterAddrTable":{"c":["${this.name}"]}}`
  }

  onRequest(connection: Connection, header: HeaderView): void {
    this.connections.add(connection)
    const command = commandOf(header)
    this.requests.push(command)
    const answer = this.scripts.get(command.code)?.(command, connection)
    if (answer !== undefined && !header.isOneway) connection.reply(command, answer)
  }

  onClosed(connection: Connection): void {
    this.connections.delete(connection)
  }
}

/** A stored record as a pull or a check-back carries it. */
export function recordOf(options: {
  topic: string
  queueOffset: number
  body?: string
  queueId?: number
  reconsumeTimes?: number
  properties?: Record<string, string>
}): Buffer {
  const topic = Buffer.from(options.topic)
  const body = Buffer.from(options.body ?? 'x')
  const properties = encodeProperties({ UNIQ_KEY: `id-${options.queueOffset}`, ...options.properties })
  const host = hostBytes('127.0.0.1', 9876)
  return encodeRecord({
    topic,
    queueId: options.queueId ?? 0,
    queueOffset: options.queueOffset,
    physicalOffset: 1_000 + options.queueOffset,
    flag: 0,
    sysFlag: 0,
    bornTimestamp: 1_700_000_000_000,
    bornHost: host,
    storeTimestamp: 1_700_000_000_005,
    storeHost: host,
    reconsumeTimes: options.reconsumeTimes ?? 0,
    preparedTransactionOffset: 0,
    body,
    bodyStart: 0,
    bodyEnd: body.length,
    properties,
    propertiesStart: 0,
    propertiesEnd: properties.length,
  })
}

/** Queues that a fake broker serves to a push consumer: pull 11, offsets 14, 15, 30, 31. */
export function serveQueue(fake: FakeBroker, topic: string, records: Buffer[]): { committed: Map<string, number[]> } {
  const committed = new Map<string, number[]>()
  const keyOf = (request: RemotingCommand): string => `${request.extFields['topic']}/${request.extFields['queueId']}`
  const offsets = (next: number): Record<string, number> => ({
    nextBeginOffset: next,
    minOffset: 0,
    maxOffset: records.length,
    suggestWhichBrokerId: 0,
  })
  fake
    .on(RequestCode.QUERY_CONSUMER_OFFSET, (request) => {
      const offset = committed.get(keyOf(request))?.at(-1)
      return offset === undefined ? { code: 22 } : { code: 0, extFields: { offset } }
    })
    .on(RequestCode.UPDATE_CONSUMER_OFFSET, (request) => {
      const offset = Number(request.extFields['commitOffset'])
      committed.set(keyOf(request), [...(committed.get(keyOf(request)) ?? []), offset])
      return { code: 0 }
    })
    .on(RequestCode.GET_MIN_OFFSET, () => ({ code: 0, extFields: { offset: 0 } }))
    .on(RequestCode.GET_MAX_OFFSET, () => ({ code: 0, extFields: { offset: records.length } }))
    .on(RequestCode.PULL_MESSAGE, (request, connection) => {
      const offset = Number(request.extFields['queueOffset'])
      const hasSome = keyOf(request) === `${topic}/0` && offset < records.length
      if (hasSome) {
        const body = Buffer.concat(records.slice(offset))
        return { code: 0, extFields: offsets(records.length), body }
      }
      const holdMs = Number(request.extFields['suspendTimeoutMillis'])
      fake.where.clock.setTimer(holdMs, () => connection.reply(request, { code: 19, extFields: offsets(offset) }))
      return undefined
    })
  return { committed }
}
