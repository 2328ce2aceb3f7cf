import { SystemTopic, TandemError, topicNameProblem } from '@tandemmq/protocol'
import { type Clock, type Network, parseAddress } from '@tandemmq/remoting'
import type { Disk } from './store/index.ts'

/** What `startBroker` takes. Times are ms, sizes bytes, unless a name says otherwise. */
export interface BrokerOptions {
  /** Directory of this broker alone; created when absent. */
  dataDir: string
  /** Address to listen on. Default `127.0.0.1`; anything else is reachable by others and unauthenticated. */
  host?: string
  /** Default 9876; 0 picks a free one. */
  port?: number
  /**
   * `auto` (default): each client is told the address it dialled itself, and separate name servers the `host` or, when that is
   * all interfaces, the address this broker reaches them from. Else a fixed `host:port` for all of them.
   */
  advertise?: string
  /** `sync` (default) answers a send after fdatasync, `async` after the write: a power cut may take the last 200 ms. */
  flush?: 'sync' | 'async'
  /** A send to an unknown topic creates it. Default true. */
  autoCreateTopic?: boolean
  /** Queues of an auto-created topic, at most what the producer asks for. Default 4. */
  defaultQueues?: number
  /** Age of a half message at its first check-back. Default 6,000. */
  transactionTimeoutMs?: number
  /** Longest pause between two check-backs of one half message. Default 30,000. */
  transactionCheckIntervalMs?: number
  /**
   * Half messages keep their place among the messages of their ordering key (`orderBy`): later ones are held until it is settled. Default
   * true; false releases what is held.
   */
  transactionOrder?: boolean
  /** Messages held for that reason, above which further ones of such keys are refused; 25 bytes of memory each. Default 1,000,000. */
  heldMessagesMax?: number
  /** Largest body. Default 4,194,304. */
  messageBytesMax?: number
  /**
   * Age at which a log segment is deleted, unless somebody needs it: a pending half or delayed message, a lease, or a group that is
   * online, or was within this time, and has not consumed it. Default 72.
   */
  retentionHours?: number
  /** Size of the log above which the oldest segments are deleted, on the same condition. Default Infinity. */
  retentionBytes?: number
  /** Hard limits: segments are deleted whoever needs them, and the log says what was lost to whom. Default Infinity. */
  retentionHoursMax?: number
  retentionBytesMax?: number
  /** Longest delay of a message. Default 365 days. */
  delayMsMax?: number
  /** After it the lock of an ordered consumer that did not renew it may be taken by another one. Default 60,000. */
  lockMaxLiveMs?: number
  /**
   * Time, by store times, during which a repeated unique id or dedup key is answered with the first result; 0 switches it off. Default
   * 600,000. The topic attribute `tandem.dedup.window.ms` goes before it.
   */
  dedupWindowMs?: number
  /** Unique ids held at most, 28 bytes each as they come; more push out the oldest, which is counted and logged. Default 4,000,000. */
  dedupEntriesMax?: number
  /** Dedup keys of applications held at most, 28 bytes each; none leaves early: a send for which there is no room is refused. Default 10,000,000. */
  dedupOwnKeysMax?: number
  /**
   * Separate name servers to register with, ours or Apache's: `'a:9876;b:9876'` or an array. Default: none, this broker is its own.
   */
  nameServers?: string | readonly string[]
  /** Default `tandemmq`. Keep it stable: clients key queues by it. Brokers of one cluster need different names. */
  brokerName?: string
  /** Default `DefaultCluster`. */
  clusterName?: string
  /** Size of a commit log file. Default 64 MiB. */
  segmentBytes?: number
  /** Growth of the log after which a checkpoint is written: about what a start has to read. Default 256 MiB. */
  checkpointBytes?: number
  /** Recent log bytes kept in memory. Default 32 MiB. */
  hotBytesMax?: number
  /**
   * Bytes of answers that clients have not taken, over all connections: those that take none are closed when others need the room, see
   * docs/operations.md. Default 256 MiB.
   */
  outputBytesMax?: number
  /** Default 10,000. */
  connectionsMax?: number
  /** A client without heartbeat for so long is no member any more. Default 120,000; Infinity relies on the connection. */
  channelExpiryMs?: number
  /**
   * After a restart the queues of members that are not back yet are kept for them for so long at most: members come back one by one,
   * and whoever is first would take all queues from their last commit. Default 30,000, of which TandemMQ's own clients ask 6,000; 0 keeps none.
   */
  memberGraceMs?: number
  /** SQL92 subscriptions are served. Default true; a stock broker's default is false. */
  enablePropertyFilter?: boolean
  /** The topic for message traces exists from the start, with one queue: some clients do not create it. Default true; a stock broker's default is false. */
  traceTopicEnable?: boolean
  /** Default `RMQ_SYS_TRACE_TOPIC`. */
  msgTraceTopicName?: string
  /** Skip damaged ranges in the middle of the log instead of refusing to start. Default false. */
  acceptDamage?: boolean
  /**
   * Serves figures for Prometheus at `http://metricsHost:metricsPort/metrics`, see docs/operations.md. Default -1: not at all; 0
   * picks a free port.
   */
  metricsPort?: number
  /** Default `127.0.0.1`; there is no authentication. */
  metricsHost?: string
  /** Replaced by tests only. */
  clock?: Clock
  network?: Network
  disk?: Disk
  /** One line of text per event worth an operator's attention. Default: none. */
  log?: (line: string) => void
}

export type ResolvedOptions = Required<Omit<BrokerOptions, 'clock' | 'network' | 'disk' | 'nameServers'>> &
  Required<Pick<BrokerOptions, 'clock' | 'network' | 'disk'>> & { nameServers: readonly string[] }

type Check =
  | { kind: 'text' }
  | { kind: 'addresses' }
  | { kind: 'flag' }
  | { kind: 'choice'; of: readonly string[] }
  | NumberCheck
type NumberCheck = { kind: 'number'; min: number; max: number; infinite?: true }

const MIB = 1 << 20
/** A log file must hold the largest message with everything around it. */
export const SEGMENT_MARGIN_BYTES = 128 * 1024

const checks: Record<Exclude<keyof BrokerOptions, 'clock' | 'network' | 'disk' | 'log'>, Check> = {
  dataDir: { kind: 'text' },
  host: { kind: 'text' },
  port: { kind: 'number', min: 0, max: 65_535 },
  advertise: { kind: 'text' },
  flush: { kind: 'choice', of: ['sync', 'async'] },
  autoCreateTopic: { kind: 'flag' },
  defaultQueues: { kind: 'number', min: 1, max: 1024 },
  transactionTimeoutMs: { kind: 'number', min: 1, max: 86_400_000 },
  transactionCheckIntervalMs: { kind: 'number', min: 1, max: 86_400_000 },
  transactionOrder: { kind: 'flag' },
  heldMessagesMax: { kind: 'number', min: 0, max: 100_000_000 },
  messageBytesMax: { kind: 'number', min: 1, max: 15 * MIB },
  retentionHours: { kind: 'number', min: 0, max: 24 * 36_500, infinite: true },
  retentionBytes: { kind: 'number', min: 1 * MIB, max: Number.MAX_SAFE_INTEGER, infinite: true },
  retentionHoursMax: { kind: 'number', min: 0, max: 24 * 36_500, infinite: true },
  retentionBytesMax: { kind: 'number', min: 1 * MIB, max: Number.MAX_SAFE_INTEGER, infinite: true },
  delayMsMax: { kind: 'number', min: 0, max: 3_650 * 86_400_000 },
  lockMaxLiveMs: { kind: 'number', min: 1_000, max: 3_600_000 },
  dedupWindowMs: { kind: 'number', min: 0, max: 7 * 86_400_000 },
  dedupEntriesMax: { kind: 'number', min: 16, max: 50_000_000 },
  dedupOwnKeysMax: { kind: 'number', min: 16, max: 50_000_000 },
  nameServers: { kind: 'addresses' },
  brokerName: { kind: 'text' },
  clusterName: { kind: 'text' },
  segmentBytes: { kind: 'number', min: 64 << 10, max: 2048 * MIB },
  checkpointBytes: { kind: 'number', min: 1 * MIB, max: Number.MAX_SAFE_INTEGER },
  hotBytesMax: { kind: 'number', min: 16 * MIB, max: 8192 * MIB },
  connectionsMax: { kind: 'number', min: 1, max: 1_000_000 },
  outputBytesMax: { kind: 'number', min: 4 * MIB, max: Number.MAX_SAFE_INTEGER },
  channelExpiryMs: { kind: 'number', min: 1000, max: Number.MAX_SAFE_INTEGER, infinite: true },
  memberGraceMs: { kind: 'number', min: 0, max: 86_400_000 },
  enablePropertyFilter: { kind: 'flag' },
  traceTopicEnable: { kind: 'flag' },
  msgTraceTopicName: { kind: 'text' },
  acceptDamage: { kind: 'flag' },
  metricsPort: { kind: 'number', min: -1, max: 65_535 },
  metricsHost: { kind: 'text' },
}

/** Names `--set` accepts, sorted. */
export const settingNames: readonly string[] = Object.keys(checks).sort()

/**
 * Turns the text of `--set name=value` into an option.
 * @throws {TandemError} OPTION_INVALID naming the option, the value and what would be accepted
 */
export function parseSetting(name: string, value: string): Partial<BrokerOptions> {
  const check = (checks as Record<string, Check>)[name]
  if (!Object.hasOwn(checks, name) || check === undefined) {
    throw new TandemError('OPTION_INVALID', `there is no option "${name}"; known: ${settingNames.join(', ')}`)
  }
  let parsed: unknown = value
  if (check.kind === 'number') parsed = value.trim() === '' ? Number.NaN : Number(value)
  if (check.kind === 'flag' && (value === 'true' || value === 'false')) parsed = value === 'true'
  verify(name, parsed, check)
  return { [name]: parsed } as Partial<BrokerOptions>
}

function verify(name: string, value: unknown, check: Check): void {
  const refuse = (wanted: string): never => {
    throw new TandemError('OPTION_INVALID', `${name} must be ${wanted}, not ${JSON.stringify(value) ?? String(value)}`)
  }
  switch (check.kind) {
    case 'text':
      if (typeof value !== 'string' || value === '') refuse('a non-empty text')
      return
    case 'addresses':
      if (addressesOf(value) === undefined) refuse('addresses like "127.0.0.1:9876;[::1]:9876"')
      return
    case 'flag':
      if (typeof value !== 'boolean') refuse('true or false')
      return
    case 'choice':
      if (!check.of.includes(value as string)) refuse(check.of.map((one) => `"${one}"`).join(' or '))
      return
    case 'number': {
      if (check.infinite && value === Number.POSITIVE_INFINITY) return
      const within = typeof value === 'number' && value >= check.min && value <= check.max
      const whole = name.startsWith('retentionHours') || Number.isInteger(value)
      if (!within || !whole)
        refuse(`a ${name.startsWith('retentionHours') ? '' : 'whole '}number from ${check.min} to ${check.max}`)
    }
  }
}

/** @throws {TandemError} OPTION_INVALID on an unknown name or a value out of range */
export function resolveOptions(
  given: BrokerOptions,
  outside: { clock: Clock; network: Network; disk: Disk },
): ResolvedOptions {
  const options = {
    host: '127.0.0.1',
    port: 9876,
    advertise: 'auto',
    flush: 'sync',
    autoCreateTopic: true,
    defaultQueues: 4,
    transactionTimeoutMs: 6_000,
    transactionCheckIntervalMs: 30_000,
    transactionOrder: true,
    heldMessagesMax: 1_000_000,
    messageBytesMax: 4 * MIB,
    retentionHours: 72,
    retentionBytes: Number.POSITIVE_INFINITY,
    retentionHoursMax: Number.POSITIVE_INFINITY,
    retentionBytesMax: Number.POSITIVE_INFINITY,
    delayMsMax: 365 * 86_400_000,
    lockMaxLiveMs: 60_000,
    dedupWindowMs: 600_000,
    dedupEntriesMax: 4_000_000,
    dedupOwnKeysMax: 10_000_000,
    nameServers: [],
    brokerName: 'tandemmq',
    clusterName: 'DefaultCluster',
    checkpointBytes: 256 * MIB,
    segmentBytes: 64 * MIB,
    hotBytesMax: 32 * MIB,
    connectionsMax: 10_000,
    outputBytesMax: 256 * MIB,
    channelExpiryMs: 120_000,
    memberGraceMs: 30_000,
    enablePropertyFilter: true,
    traceTopicEnable: true,
    msgTraceTopicName: SystemTopic.TRACE,
    acceptDamage: false,
    metricsPort: -1,
    metricsHost: '127.0.0.1',
    log: () => {},
    ...outside,
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
  } as unknown as ResolvedOptions
  for (const [name, value] of Object.entries(options)) {
    if (name === 'clock' || name === 'network' || name === 'disk' || name === 'log') continue
    const check = (checks as Record<string, Check>)[name]
    if (check === undefined) {
      throw new TandemError('OPTION_INVALID', `there is no option "${name}"; known: ${settingNames.join(', ')}`)
    }
    verify(name, value, check)
  }
  for (const name of ['brokerName', 'clusterName', 'msgTraceTopicName'] as const) {
    // The first two are topics as well (remoting.md 12.1).
    const problem = topicNameProblem(options[name])
    if (problem !== undefined) throw new TandemError('OPTION_INVALID', `${name}: ${problem}`)
  }
  options.nameServers = addressesOf(options.nameServers) ?? []
  if (options.advertise !== 'auto' && addressesOf(options.advertise)?.length !== 1) {
    throw new TandemError('OPTION_INVALID', `advertise must be "auto" or host:port, not "${options.advertise}"`)
  }
  if (options.segmentBytes < options.messageBytesMax + SEGMENT_MARGIN_BYTES) {
    throw new TandemError('OPTION_INVALID', 'segmentBytes must exceed messageBytesMax by 128 KiB')
  }
  return options
}

/** @returns undefined when one of them is no `host:port` */
function addressesOf(value: unknown): string[] | undefined {
  const parts: unknown = typeof value === 'string' ? value.split(/[;,]/) : value
  if (!Array.isArray(parts) || !parts.every((part) => typeof part === 'string')) return undefined
  const addresses = parts.map((part) => part.trim()).filter((part) => part !== '')
  try {
    for (const address of addresses) parseAddress(address)
  } catch {
    return undefined
  }
  return [...new Set(addresses)]
}
