import {
  emptyRecordFields,
  encodeProperties,
  hostBytes,
  PropertyScan,
  type RecordFields,
  type RemotingCommand,
} from '@tandemmq/protocol'
import { type Connection, type ConnectionOwner, RemotingClient, RemotingServer } from '@tandemmq/remoting'
import { MemoryNetwork, VirtualClock } from '@tandemmq/remoting/simulation'
import { IndexEntry } from '../../broker/src/index-entry.ts'
import { describeMessage } from '../../broker/src/index-key.ts'
import { Measurements } from '../../broker/src/measurements.ts'
import { DelayService } from '../../broker/src/delay/index.ts'
import { StoreLogWriter } from '../../broker/src/store-log-writer.ts'
import { BrokerRegistry, KvConfig, LocalBroker, NameServer, TopicQueues } from '../../broker/src/nameserver/index.ts'
import {
  ConsumerGroups,
  LeaseService,
  Offsets,
  openLeaseTables,
  ProducerDomains,
  ProducerGroups,
  PullService,
  QueueLocks,
  recordIndexing,
  RequestModes,
  SqlExpressions,
  Topics,
} from '../../broker/src/queueing/index.ts'
import { adminHandlers } from '../../broker/src/server/admin-handlers.ts'
import { assignmentHandlers } from '../../broker/src/server/assignment-handlers.ts'
import { clientHandlers } from '../../broker/src/server/client-handlers.ts'
import { Dispatcher } from '../../broker/src/server/dispatcher.ts'
import { lockHandlers } from '../../broker/src/server/lock-handlers.ts'
import { offsetHandlers } from '../../broker/src/server/offset-handlers.ts'
import { popHandlers } from '../../broker/src/server/pop-handlers.ts'
import { pullHandlers } from '../../broker/src/server/pull-handlers.ts'
import { queryHandlers } from '../../broker/src/server/query-handlers.ts'
import { registryHandlers } from '../../broker/src/server/registry-handlers.ts'
import { routeHandlers } from '../../broker/src/server/route-handlers.ts'
import { Statistics } from '../../broker/src/statistics/index.ts'
import type { Disk } from '../../broker/src/store/index.ts'
import { MessageStore } from '../../broker/src/store/index.ts'
import { MemoryDisk } from '../../broker/src/store/memory-disk.ts'

export interface RoomsOptions {
  clock?: VirtualClock
  disk?: Disk
  autoCreate?: boolean
  channelExpiryMs?: number
  parkedPerConnectionMax?: number
  advertise?: string
  enablePropertyFilter?: boolean
  leasesPerQueueMax?: number
  memberGraceMs?: number
}

export interface Message {
  tag?: string
  body?: string
  keys?: string
  uniqueKey?: string
  properties?: Record<string, string>
}

/** A client of {@link BrokerRooms} over its own connection; records what the broker pushes to it. */
export class RoomsClient implements ConnectionOwner {
  readonly pushed: { code: number; group: string }[] = []
  readonly #rooms: BrokerRooms
  readonly remoting: RemotingClient
  readonly address: string

  constructor(rooms: BrokerRooms, address: string) {
    this.#rooms = rooms
    this.address = address
    this.remoting = new RemotingClient({ clock: rooms.clock, network: rooms.network, owner: this })
  }

  onRequest(_connection: Connection, header: Parameters<ConnectionOwner['onRequest']>[1]): void {
    this.pushed.push({ code: header.code, group: header.text(0) })
  }

  onClosed(): void {}

  /** Sends without waiting. */
  ask(
    code: number,
    extFields: Record<string, string | number | boolean> = {},
    options: { body?: unknown; serialization?: 0 | 1; version?: number; timeoutMs?: number } = {},
  ): Promise<RemotingCommand> {
    const body = options.body === undefined ? {} : { body: Buffer.from(JSON.stringify(options.body)) }
    const { serialization = 0, version = 441, timeoutMs = 60_000 } = options
    return this.remoting.request(this.address, { code, version, serialization, extFields, ...body }, timeoutMs)
  }

  request(...parameters: Parameters<RoomsClient['ask']>): Promise<RemotingCommand> {
    return this.#rooms.clock.run(this.ask(...parameters), 120_000)
  }

  connection(): Promise<Connection> {
    return this.#rooms.clock.run(this.remoting.connection(this.address))
  }
}

/** Queueing, name server and their handlers on a real store, with clock, network and disk in memory. */
export class BrokerRooms {
  readonly clock: VirtualClock
  readonly network: MemoryNetwork
  readonly disk: Disk
  readonly store: MessageStore
  readonly topics: Topics
  readonly groups: ConsumerGroups
  readonly producers: ProducerGroups
  readonly domains: ProducerDomains
  readonly offsets: Offsets
  readonly pulls: PullService
  readonly leases: LeaseService
  readonly statistics: Statistics
  readonly locks: QueueLocks
  readonly server: RemotingServer

  private constructor(options: RoomsOptions) {
    const clock = (this.clock = options.clock ?? new VirtualClock({ seed: 1 }))
    const disk = (this.disk = options.disk ?? new MemoryDisk())
    this.network = new MemoryNetwork({ clock })
    const store = (this.store = MessageStore.open({
      disk,
      clock,
      directory: 'data',
      flush: 'sync',
      ...recordIndexing,
    }))
    const { journal } = store
    const { channelExpiryMs, parkedPerConnectionMax, advertise } = options
    const expiry = channelExpiryMs === undefined ? {} : { channelExpiryMs }
    const topics = (this.topics = new Topics({ journal, autoCreate: options.autoCreate ?? true }))
    const { memberGraceMs } = options
    const groups = (this.groups = new ConsumerGroups({ clock, journal, topics, ...expiry, memberGraceMs }))
    const producers = (this.producers = new ProducerGroups({ clock, ...expiry }))
    const domains = (this.domains = new ProducerDomains({ clock, groups: producers, ...expiry }))
    const offsets = (this.offsets = new Offsets({ clock, journal, topics }))
    const parking = parkedPerConnectionMax === undefined ? {} : { parkedPerConnectionMax }
    const sql = new SqlExpressions({ enabled: options.enablePropertyFilter ?? true })
    const statistics = (this.statistics = new Statistics({
      clock,
      clusterName: 'DefaultCluster',
      sources: {
        ...{ topics: () => topics.list(), topic: (name: string) => topics.find(name) },
        ...{ groups: () => groups.list(), group: (name: string) => groups.find(name) },
      },
    }))
    const { deliveries } = statistics
    const pulls = (this.pulls = new PullService({ clock, topics, groups, offsets, store, sql, deliveries, ...parking }))
    const settings = { change: () => Promise.resolve(), version: { counter: 0, stateVersion: 0, timestamp: 0 } }
    const locks = (this.locks = new QueueLocks({ clock }))
    groups.onGone = (group, clientId) => locks.releaseClaims(group, clientId)
    const kvConfig = new KvConfig({ journal })
    const tables = openLeaseTables({ clock, journal })
    const modes = new RequestModes({ journal })
    topics.open(store)
    topics.ensureInternal('DefaultCluster', 1)
    topics.ensureInternal('tandemmq', 1)
    const lookup = (topic: string, queueId: number) => topics.find(topic)?.queues[queueId]
    offsets.open(lookup)
    const log = new StoreLogWriter()
    // Nothing is delayed or held here; a clock of its own leaves the random numbers of the others as they are.
    const order = { isActive: false, holds: () => false, append: () => {} }
    log.open({ store, topics, order, delay: new DelayService({ clock: new VirtualClock({ seed: 2 }), log }) })
    const { leasesPerQueueMax: perQueueMax } = options
    const leases = (this.leases = new LeaseService({
      ...{ clock, tables, topics, groups, offsets, sql, store, log, lookup, brokerName: 'tandemmq' },
      ...(perQueueMax === undefined ? {} : { perQueueMax }),
    }))
    topics.listeners.push((topic, change) => {
      if (change === 'deleted') locks.deleteTopic(topic.name)
    })
    store.onVisible = (queue) => {
      pulls.onVisible(queue)
      leases.onVisible(queue)
    }
    const local = new LocalBroker({
      brokerName: 'tandemmq',
      clusterName: 'DefaultCluster',
      ...(advertise === undefined ? {} : { advertise }),
      find: (name) => topics.find(name) ?? topics.promised(name),
      list: () => topics.list(),
    })
    const nameServer = new NameServer({ local, registry: new BrokerRegistry({ clock }), kvConfig })
    const queues = new TopicQueues({ clock, network: this.network, nameServers: [], own: nameServer })
    const read = (physicalOffset: number): Buffer | undefined => store.read(physicalOffset)
    const brokerName = 'tandemmq'
    const guard = { measured: new Measurements(), outputBytes: () => 0, outputBytesHigh: 1, relieve: () => {} }
    const dispatcher = new Dispatcher({
      handlers: [
        routeHandlers({ nameServer, kvConfig }),
        registryHandlers({ nameServer, instanceId: 'self' }),
        clientHandlers({ consumers: groups, producers, domains, sql }),
        offsetHandlers({ topics, groups, offsets, locks: this.locks, read, requireOpen: () => store.requireOpen() }),
        lockHandlers({ locks, topics }),
        pullHandlers(pulls, guard),
        popHandlers(leases, guard),
        assignmentHandlers({ groups, modes, queuesOf: (topic) => queues.of(topic) }),
        queryHandlers({ topics, read, find: (hash, begin, end) => store.findByKey(hash, begin, end) }),
        adminHandlers({
          ...{ topics, groups, producers, offsets, pulls, leases, read, brokerName },
          ...{ clock, settings, statistics },
          config: () => ({ flush: 'sync' }),
          runtime: () => ({ putTps: '1.5 1.0 0.5' }),
        }),
      ],
      onClosed: (connection) => {
        pulls.connectionClosed(connection)
        leases.connectionClosed(connection)
        groups.connectionClosed(connection)
        producers.connectionClosed(connection)
        domains.connectionClosed(connection)
        nameServer.registry.connectionClosed(connection)
      },
      log: () => {},
    })
    this.server = new RemotingServer({ clock, network: this.network, owner: dispatcher, host: '0.0.0.0', port: 9876 })
  }

  static async start(options: RoomsOptions = {}): Promise<BrokerRooms> {
    const rooms = new BrokerRooms(options)
    await rooms.clock.run(rooms.server.start())
    return rooms
  }

  client(address = '127.0.0.1:9876'): RoomsClient {
    return new RoomsClient(this, address)
  }

  /** Appends without making it visible yet; {@link settle} does. */
  append(topic: string, queueId: number, message: Message = {}): void {
    const { tag, body = 'x', keys, uniqueKey } = message
    const properties = encodeProperties({
      ...(tag === undefined ? {} : { TAGS: tag }),
      ...(keys === undefined ? {} : { KEYS: keys }),
      ...(uniqueKey === undefined ? {} : { UNIQ_KEY: uniqueKey }),
      ...message.properties,
    })
    const scan = new PropertyScan()
    scan.scan(properties, 0, properties.length)
    const name = Buffer.from(topic)
    const entry = new IndexEntry()
    describeMessage(entry, name, 0, name.length, scan)
    const target = this.topics.find(topic) ?? this.topics.create({ name: topic, readQueues: 1, writeQueues: 1 })
    this.store.append(target.queues[queueId]!, fieldsOf(topic, Buffer.from(body), properties), entry)
  }

  settle(ms = 5): Promise<void> {
    return this.clock.advance(ms)
  }

  async close(): Promise<void> {
    this.offsets.flush()
    this.pulls.close()
    this.leases.close()
    this.groups.close()
    await this.clock.run(this.server.close(0))
    await this.clock.run(this.store.close())
  }
}

const host = hostBytes('127.0.0.1', 9876)

function fieldsOf(topic: string, body: Buffer, properties: Buffer): RecordFields {
  return {
    ...emptyRecordFields(),
    topic: Buffer.from(topic),
    bornTimestamp: 1,
    bornHost: host,
    storeHost: host,
    body,
    bodyStart: 0,
    bodyEnd: body.length,
    properties,
    propertiesStart: 0,
    propertiesEnd: properties.length,
  }
}

/** The header fields of a pull as a push consumer of version 5 sends them. */
export function pullFields(
  over: Record<string, string | number | boolean> = {},
): Record<string, string | number | boolean> {
  return {
    consumerGroup: 'billing',
    topic: 'orders',
    queueId: 0,
    queueOffset: 0,
    maxMsgNums: 32,
    sysFlag: 4,
    commitOffset: 0,
    suspendTimeoutMillis: 15_000,
    subscription: '*',
    subVersion: 0,
    expressionType: 'TAG',
    ...over,
  }
}

/** A heartbeat of one consumer. */
export function heartbeatBody(
  over: {
    clientId?: string
    group?: string
    topics?: Record<string, string>
    version?: number
    model?: string
    fingerprint?: number
    withoutSub?: boolean
    expressionType?: string
    instance?: { startedAt?: number; restartMs?: number; absenceMs?: number }
  } = {},
): unknown {
  const { clientId = 'c1', group = 'billing', topics = { orders: '*' }, version = 100, model = 'CLUSTERING' } = over
  return {
    clientID: clientId,
    consumerDataSet: [
      {
        consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET',
        consumeType: 'CONSUME_PASSIVELY',
        groupName: group,
        messageModel: model,
        subscriptionDataSet: Object.entries(topics).map(([topic, subString]) => ({
          ...{ classFilterMode: false, codeSet: [], tagsSet: [], expressionType: over.expressionType ?? 'TAG' },
          ...{ subString, subVersion: version, topic },
        })),
        unitMode: false,
      },
    ],
    heartbeatFingerprint: over.fingerprint ?? 0,
    instance: over.instance,
    producerDataSet: [{ groupName: 'CLIENT_INNER_PRODUCER' }],
    withoutSub: over.withoutSub ?? false,
  }
}
