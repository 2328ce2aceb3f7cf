import { UniqueIdGenerator } from '@tandemmq/protocol'
import type { Connection } from '@tandemmq/remoting'
import { type LiveName, type LiveValues, stockSettings } from '../live-settings.ts'
import type { ResolvedOptions } from '../options.ts'
import type { Rooms } from '../rooms.ts'
import { runtimeFigures } from '../runtime-figures.ts'
import { adminHandlers } from './admin-handlers.ts'
import { assignmentHandlers } from './assignment-handlers.ts'
import { BatchHandler } from './batch-handler.ts'
import { clientHandlers } from './client-handlers.ts'
import type { DeliveryGuardOptions } from './delivery-guard.ts'
import type { Figure } from '../metrics/index.ts'
import type { Handler } from './handler.ts'
import { heldGroupHandlers } from './held-group-handlers.ts'
import { lockHandlers } from './lock-handlers.ts'
import { MessageProperties } from './message-properties.ts'
import { operatorTransactionHandlers } from './operator-transaction-handlers.ts'
import { offsetHandlers } from './offset-handlers.ts'
import { popHandlers } from './pop-handlers.ts'
import { pullHandlers } from './pull-handlers.ts'
import { queryHandlers } from './query-handlers.ts'
import { recallHandlers } from './recall-handlers.ts'
import { createReplyHandlers } from './reply-handlers.ts'
import { redriveHandlers } from './redrive-handlers.ts'
import { registryHandlers } from './registry-handlers.ts'
import { assemble } from './request-table.ts'
import { routeHandlers } from './route-handlers.ts'
import { sendBackHandlers } from './send-back-handlers.ts'
import { SendHandler } from './send-handler.ts'
import { timerHandlers } from './timer-handlers.ts'
import { transactionHandlers } from './transaction-handlers.ts'

const LOOPBACK = Buffer.of(127, 0, 0, 1)
const ID_SEED_MAX = 0x7fffffff
const HOUR_MS = 3_600_000

export interface ServerHandlers {
  handlers: Map<number, Handler>
  connectionClosed: (connection: Connection) => void
}

/** The handlers of every row of the request table. */
export function createHandlers(
  options: ResolvedOptions,
  rooms: Rooms,
  server: Pick<DeliveryGuardOptions, 'outputBytes' | 'relieve'> & {
    requestCommit: () => void
    figures: () => readonly Figure[]
  },
): ServerHandlers {
  const { requestCommit, outputBytes, relieve } = server
  // A quarter: above half of it all are refused, and the other half is for answers under way.
  const guard = { measured: rooms.measured, outputBytes, relieve, outputBytesHigh: options.outputBytesMax / 4 }
  const { brokerName, clock } = options
  const { store, topics, groups, producers, offsets, pulls, transactions, order, delay, dedup, retry } = rooms
  const uniqueIds = new UniqueIdGenerator(LOOPBACK, 0, Math.floor(clock.random() * ID_SEED_MAX))
  const send = new SendHandler({
    clock,
    store,
    topics,
    delay,
    transactions,
    order,
    dedup,
    retry,
    put: rooms.statistics.put,
    measured: rooms.measured,
    isOrdered: (group) => rooms.locks.isOrdered(group),
    properties: new MessageProperties({ clusterName: options.clusterName, uniqueIds, clock }),
    messageBytesMax: options.messageBytesMax,
    brokerName,
    inFlightBytesMax: options.hotBytesMax / 2,
    requestCommit,
  })
  rooms.settings.bind((values) => applySettings(values, rooms, send.options))
  const read = (offset: number): Buffer | undefined => store.read(offset)
  return {
    handlers: assemble({
      send: send.handlers(),
      batch: new BatchHandler(send).handlers(),
      reply: createReplyHandlers({ producers, clock }),
      pull: pullHandlers(pulls, guard),
      pop: popHandlers(rooms.leases, guard),
      assignment: assignmentHandlers({ groups, modes: rooms.modes, queuesOf: (topic) => rooms.queues.of(topic) }),
      client: clientHandlers({ consumers: groups, producers, domains: rooms.domains, sql: rooms.sql }),
      offset: offsetHandlers({
        ...{ topics, groups, offsets, locks: rooms.locks, read },
        requireOpen: () => rooms.store.requireOpen(),
      }),
      lock: lockHandlers({ locks: rooms.locks, topics }),
      route: routeHandlers(rooms),
      registry: registryHandlers(rooms),
      query: queryHandlers({ topics, read, find: (hash, begin, end) => store.findByKey(hash, begin, end) }),
      sendBack: sendBackHandlers({ retry }),
      redrive: redriveHandlers({ redrives: rooms.redrives }),
      recall: recallHandlers({ delay, brokerName }),
      timer: timerHandlers({ delay, brokerName }),
      transaction: new Map([
        ...transactionHandlers({ transactions }),
        ...operatorTransactionHandlers({ clock, transactions, decisions: rooms.decisions, audit: options.log }),
      ]),
      heldGroup: heldGroupHandlers({ order, transactions }),
      admin: adminHandlers({
        ...rooms,
        read,
        brokerName,
        ...{ clock, config: () => settingsOf(options, rooms.settings.values) },
        runtime: () => runtimeFigures(options, rooms),
        figures: () => server.figures(),
        announced: () => rooms.registrar.announced(),
      }),
    }),
    connectionClosed: (connection) => {
      send.connectionClosed(connection)
      pulls.connectionClosed(connection)
      rooms.leases.connectionClosed(connection)
      groups.connectionClosed(connection)
      producers.connectionClosed(connection)
      rooms.domains.connectionClosed(connection)
      transactions.connectionClosed(connection.id)
      rooms.nameServer.registry.connectionClosed(connection)
    },
  }
}

/** By our names and, where operators look for others, by RocketMQ's. */
function settingsOf(options: ResolvedOptions, live: LiveValues): Record<string, string | number | boolean> {
  const all = Object.entries({ ...options, ...live })
  const plain = all.filter(([, value]) => ['string', 'number', 'boolean'].includes(typeof value))
  return { ...stockSettings(options, live), ...Object.fromEntries(plain) } as Record<string, string | number | boolean>
}

/** What changed goes to whom it concerns; what is in the log or under way stays as it was. */
function applySettings(changed: Partial<LiveValues>, rooms: Rooms, send: { messageBytesMax: number }): void {
  const { settings, topics, sql, transactions, delay, store, needs } = rooms
  const has = (...names: LiveName[]): boolean => names.some((name) => name in changed)
  const { autoCreateTopic: autoCreate, defaultQueues, retentionHours, retentionBytes, ...values } = settings.values
  if (has('autoCreateTopic', 'defaultQueues')) topics.configure({ autoCreate, defaultQueues })
  if (has('enablePropertyFilter')) sql.isEnabled = values.enablePropertyFilter
  if (has('messageBytesMax')) send.messageBytesMax = values.messageBytesMax
  if (has('delayMsMax')) delay.horizonMs = values.delayMsMax
  if (has('transactionTimeoutMs')) transactions.timeoutMs = values.transactionTimeoutMs
  if (has('retentionHours', 'retentionBytes')) {
    store.changeRetention({ retentionMs: retentionHours * HOUR_MS, retentionBytes })
    needs.liveMs = retentionHours * HOUR_MS
  }
}
