import { TandemError } from '@tandemmq/protocol'
import { BrokerError } from './broker-error.ts'
import { parseSetting, type ResolvedOptions, SEGMENT_MARGIN_BYTES, settingNames } from './options.ts'

const TABLE = 'settings'

/** Options that change while the broker runs. */
export const liveNames = [
  'autoCreateTopic',
  'defaultQueues',
  'delayMsMax',
  'enablePropertyFilter',
  'messageBytesMax',
  'retentionBytes',
  'retentionHours',
  'transactionTimeoutMs',
] as const

export type LiveName = (typeof liveNames)[number]
export type LiveValues = Pick<ResolvedOptions, LiveName>

/** RocketMQ's names (BrokerConfig.java, MessageStoreConfig.java) for what has another name or unit here. */
const stockNames: Readonly<Record<string, { name: LiveName; factor?: number } | undefined>> = {
  __proto__: null as never,
  autoCreateTopicEnable: { name: 'autoCreateTopic' },
  defaultTopicQueueNums: { name: 'defaultQueues' },
  fileReservedTime: { name: 'retentionHours' },
  maxMessageSize: { name: 'messageBytesMax' },
  timerMaxDelaySec: { name: 'delayMsMax', factor: 1000 },
  transactionTimeOut: { name: 'transactionTimeoutMs' },
}

interface Journal {
  register(table: string, owner: { apply(entry: unknown): void; snapshot(): Iterable<unknown> }): void
  appendDurable(table: string, entry: unknown): Promise<void>
  commit(): void
}

/** A change: what was set, and over which value given at the start. Text, because JSON has no Infinity. */
interface Change {
  name: LiveName
  value: string
  over: string
}

interface Entry {
  changes: Change[]
  /** Changes that were overtaken by an option. */
  dropped?: LiveName[]
  /** Wall clock ms. */
  at: number
}

/**
 * Settings an operator changed at run time (UPDATE_BROKER_CONFIG 25), kept in the journal table `settings`. A change outlives a restart
 * until the option itself is given another value than the one it was made over: what was said last counts.
 */
export class LiveSettings {
  readonly #journal: Journal
  readonly #given: LiveValues
  readonly #bodyBytesMax: number
  readonly #changes = new Map<LiveName, Change>()
  #counter = 0
  #changedAt = 0
  #apply: (values: Partial<LiveValues>) => void = () => {}

  /** Reads the journal's table. */
  constructor(options: { journal: Journal; given: LiveValues & { segmentBytes: number } }) {
    this.#journal = options.journal
    this.#given = pick(options.given)
    this.#bodyBytesMax = options.given.segmentBytes - SEGMENT_MARGIN_BYTES
    this.#journal.register(TABLE, {
      apply: (entry) => this.#read(entry as Entry),
      snapshot: () => (this.#changes.size === 0 ? [] : [{ changes: [...this.#changes.values()], at: this.#changedAt }]),
    })
  }

  /** Values in force. */
  get values(): LiveValues {
    const values = { ...this.#given }
    for (const { name, value } of this.#changes.values()) Object.assign(values, parseSetting(name, value))
    return values
  }

  /** What the original calls DataVersion: how often, and when last, something changed. */
  get version(): { counter: number; stateVersion: number; timestamp: number } {
    return { counter: this.#counter, stateVersion: 0, timestamp: this.#changedAt }
  }

  /** @param apply called now with all values, then with what changes */
  bind(apply: (values: Partial<LiveValues>) => void): void {
    this.#apply = apply
    const stale = [...this.#changes.values()].filter((change) => !this.#holds(change)).map(({ name }) => name)
    if (stale.length > 0) void this.#store({ changes: [], dropped: stale, at: this.#changedAt })
    apply(this.values)
  }

  /**
   * Changes all of them or none. Durable when resolved.
   * @param given by our names or RocketMQ's
   * @throws {BrokerError} NO_PERMISSION for one that is read at a start only, INVALID_PARAMETER for one nobody knows or a value
   *   that will not do; the text names what may be changed
   */
  change(given: ReadonlyMap<string, string>, now: number): Promise<void> {
    const changes = [...given].map(([name, value]) => changeOf(name, value, this.#given))
    const values: Partial<LiveValues> = Object.assign(
      {},
      ...changes.map(({ name, value }) => parseSetting(name, value)),
    )
    if ((values.messageBytesMax ?? 0) > this.#bodyBytesMax) {
      throw new BrokerError('INVALID_PARAMETER', `messageBytesMax is at most ${this.#bodyBytesMax}, see segmentBytes`)
    }
    const stored = this.#store({ changes, at: now })
    this.#apply(values)
    return stored
  }

  #holds({ name, value, over }: Change): boolean {
    return over === String(this.#given[name]) && (name !== 'messageBytesMax' || Number(value) <= this.#bodyBytesMax)
  }

  #store(entry: Entry): Promise<void> {
    this.#read(entry)
    const stored = this.#journal.appendDurable(TABLE, entry)
    // A failure that nobody awaits is not lost: it fences the store.
    stored.catch(() => {})
    this.#journal.commit()
    return stored
  }

  #read({ changes, dropped = [], at }: Entry): void {
    for (const change of changes) this.#changes.set(change.name, change)
    for (const name of dropped) this.#changes.delete(name)
    this.#counter++
    this.#changedAt = at
  }
}

function changeOf(given: string, text: string, start: LiveValues): Change {
  const stock = stockNames[given]
  const name = stock?.name ?? given
  if (!isLive(name)) {
    const live = `at run time: ${liveNames.join(', ')}`
    if (settingNames.includes(name)) {
      throw new BrokerError('NO_PERMISSION', `${given} takes effect at a start only: restart with it; ${live}`)
    }
    throw new BrokerError('INVALID_PARAMETER', `there is no setting ${given}; ${live}`)
  }
  const value = stock?.factor === undefined || text.trim() === '' ? text : String(Number(text) * stock.factor)
  try {
    parseSetting(name, value)
  } catch (cause) {
    const detail = cause instanceof TandemError ? cause.message : String(cause)
    throw new BrokerError('INVALID_PARAMETER', `${given}=${text}: ${detail}`, { cause })
  }
  return { name, value, over: String(start[name]) }
}

function pick(options: LiveValues): LiveValues {
  return Object.fromEntries(liveNames.map((name) => [name, options[name]])) as unknown as LiveValues
}

const isLive = (name: string): name is LiveName => (liveNames as readonly string[]).includes(name)

/** The same settings under the names operators of RocketMQ look for. */
export function stockSettings(options: ResolvedOptions, values: LiveValues): Record<string, string | number | boolean> {
  const aliases = Object.entries(stockNames).map(([stock, of]) => {
    const { name, factor } = of as { name: LiveName; factor?: number }
    const value = values[name]
    return [stock, typeof value === 'number' && factor !== undefined ? value / factor : value] as const
  })
  return {
    ...Object.fromEntries(aliases),
    brokerClusterName: options.clusterName,
    brokerId: 0,
    brokerPermission: 6,
    brokerRole: 'ASYNC_MASTER',
    flushDiskType: options.flush === 'sync' ? 'SYNC_FLUSH' : 'ASYNC_FLUSH',
    listenPort: options.port,
    mappedFileSizeCommitLog: options.segmentBytes,
    storePathRootDir: options.dataDir,
  }
}
