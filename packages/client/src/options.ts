import { networkInterfaces } from 'node:os'
import { groupNameProblem, hostBytes, topicNameProblem, UniqueIdGenerator } from '@tandemmq/protocol'
import type { Clock, Network } from '@tandemmq/remoting'
import { systemClock, systemNetwork } from '@tandemmq/remoting'
import { ClientError } from './client-error.ts'
import type { Logger } from './logger.ts'
import { silentLogger } from './logger.ts'

/** What every class of this package takes. */
export interface ConnectionOptions {
  /** Name server list: `'a:9876;b:9876'` or an array. A TandemMQ broker is its own name server. */
  nameServers: string | readonly string[]
  /** Name of this member. Default: `<ip>@<pid>#<random>`. Must be unique within a group. */
  clientId?: string | undefined
  /** Time and chance. Default: the machine's. */
  clock?: Clock | undefined
  /** Sockets. Default: the machine's. */
  network?: Network | undefined
  /** Default: silent. */
  logger?: Logger | undefined
  /** Upper bound of one request and its answer, ms. Default 3000. */
  requestTimeoutMs?: number | undefined
  /** Upper bound of `close()`, ms. Default 10,000. */
  drainTimeoutMs?: number | undefined
  /** How often the brokers hear from this client, ms. Default 30,000; brokers forget a client after 120,000. */
  heartbeatIntervalMs?: number | undefined
  /** How often routes are asked again, ms. Default 30,000. */
  routeRefreshMs?: number | undefined
}

/** Options of a class that belongs to a group. */
export interface GroupOptions extends ConnectionOptions {
  /** Producer or consumer group: 1 to 255 of `% | a-z A-Z 0-9 _ -`; stock Java clients take 120. */
  group: string
}

export interface ClientSettings {
  readonly nameServers: readonly string[]
  readonly clientId: string
  readonly clock: Clock
  readonly network: Network
  readonly logger: Logger
  readonly requestTimeoutMs: number
  readonly drainTimeoutMs: number
  readonly heartbeatIntervalMs: number
  readonly routeRefreshMs: number
}

/** @throws {ClientError} OPTION_INVALID */
export function settingsOf(options: ConnectionOptions): ClientSettings {
  const clock = options.clock ?? systemClock
  return {
    nameServers: parseNameServers(options.nameServers),
    clientId: options.clientId ?? defaultClientId(clock),
    clock,
    network: options.network ?? systemNetwork,
    logger: options.logger ?? silentLogger,
    requestTimeoutMs: positive('requestTimeoutMs', options.requestTimeoutMs ?? 3_000),
    drainTimeoutMs: positive('drainTimeoutMs', options.drainTimeoutMs ?? 10_000, 0),
    heartbeatIntervalMs: positive('heartbeatIntervalMs', options.heartbeatIntervalMs ?? 30_000),
    routeRefreshMs: positive('routeRefreshMs', options.routeRefreshMs ?? 30_000),
  }
}

/** @throws {ClientError} OPTION_INVALID when `value` is not a number of at least `least` */
export function positive(name: string, value: number, least = 1): number {
  if (typeof value === 'number' && value >= least) return value
  throw new ClientError('OPTION_INVALID', `${name} must be a number of at least ${least}, not ${String(value)}`)
}

export function parseNameServers(list: string | readonly string[]): string[] {
  const parts = typeof list === 'string' ? list.split(/[;,]/) : list
  const addresses = (parts ?? []).map((part) => part.trim()).filter((part) => part !== '')
  if (addresses.length === 0) throw new ClientError('OPTION_INVALID', 'nameServers names no address')
  for (const address of addresses) {
    const port = Number(address.slice(address.lastIndexOf(':') + 1))
    if (!address.includes(':') || !Number.isInteger(port) || port < 1 || port > 65_535) {
      throw new ClientError('OPTION_INVALID', `nameServers: "${address}" is not host:port`)
    }
  }
  return addresses
}

/** @throws {ClientError} GROUP_NAME_INVALID */
export function checkGroup(group: string): string {
  const problem = typeof group === 'string' ? groupNameProblem(group) : 'is not a string'
  if (problem !== undefined) throw new ClientError('GROUP_NAME_INVALID', `group "${String(group)}": ${problem}`)
  return group
}

/** @throws {ClientError} TOPIC_NAME_INVALID */
export function checkTopic(topic: string): string {
  const problem = typeof topic === 'string' ? topicNameProblem(topic) : 'is not a string'
  if (problem !== undefined) throw new ClientError('TOPIC_NAME_INVALID', `topic "${String(topic)}": ${problem}`)
  return topic
}

// A simulated clock means a simulated machine: nothing of the real one may leak into a run that a seed repeats.
const isSimulated = (clock: Clock): boolean => clock !== systemClock

function machineAddress(clock: Clock): string {
  if (isSimulated(clock)) return '127.0.0.1'
  for (const entries of Object.values(networkInterfaces())) {
    for (const entry of entries ?? []) if (entry.family === 'IPv4' && !entry.internal) return entry.address
  }
  return '127.0.0.1'
}

function defaultClientId(clock: Clock): string {
  const pid = isSimulated(clock) ? 0 : process.pid
  return `${machineAddress(clock)}@${pid}#${clock.randomBytes(6).toString('hex')}`
}

/** Message ids as remoting.md 3.8; the 4 bytes of the class loader's hash are random here. */
export function uniqueIds(clock: Clock): UniqueIdGenerator {
  const seed = clock.randomBytes(4)
  const pid = isSimulated(clock) ? 0 : process.pid & 0xffff
  const address = hostBytes(machineAddress(clock), 0).subarray(0, 4)
  return new UniqueIdGenerator(address, pid, new DataView(seed.buffer, seed.byteOffset, 4).getUint32(0))
}
