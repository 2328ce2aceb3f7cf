import { PropertyName, SystemTopic } from '@tandemmq/protocol'
import type { Clock } from '@tandemmq/remoting'
import { BrokerError } from '../broker-error.ts'
import type { ParkedRecords } from './parked-records.ts'
import type { TimerChanges } from './timer-changes.ts'
import type { ChangeOutcome, KeyedCancel, KeyedReschedule, TimerPlace } from './types.ts'

/** Records of one key that are looked at: an index entry costs little, but a stranger may give a million messages one key. */
const CANDIDATES_MAX = 100_000
/** Read in one turn of the loop. */
const READS_PER_SLICE = 100
const WAITING_ROOMS = [SystemTopic.TIMER, SystemTopic.SCHEDULE]

interface KeyedOptions {
  clock: Clock
  records: ParkedRecords
  changes: TimerChanges
  findByKey: (topic: string, key: string) => Iterable<number>
}

/** Delayed messages by business key: a word of KEYS, or the message id. The index of the log finds them. */
export class KeyedTimers {
  readonly #options: KeyedOptions

  constructor(options: KeyedOptions) {
    this.#options = options
  }

  /**
   * Takes back every message to `topic` that waits under `key`.
   * @throws {StoreError} when the log refuses; some may be taken back
   */
  async cancel(topic: string, key: string): Promise<KeyedCancel> {
    const { changes } = this.#options
    const result: KeyedCancel = { outcome: 'unknown', cancelled: 0, fired: 0 }
    await this.#everyOne(topic, key, (uniqueKey, done) =>
      changes.cancel(topic, uniqueKey, (outcome, isNew) => {
        if (isNew && outcome === 'cancelled') result.cancelled++
        if (outcome === 'fired') result.fired++
        if (result.outcome === 'unknown' || outcome === 'open') result.outcome = outcome
        done()
      }),
    )
    if (result.cancelled > 0 && result.outcome !== 'open') result.outcome = 'cancelled'
    return result
  }

  /** As {@link cancel}, but moves them to `dueAt`. */
  async reschedule(topic: string, key: string, dueAt: number): Promise<KeyedReschedule> {
    const { changes } = this.#options
    const rescheduled: TimerPlace[] = []
    const result: { outcome: ChangeOutcome; fired: number } = { outcome: 'unknown', fired: 0 }
    await this.#everyOne(topic, key, (uniqueKey, done) =>
      changes.reschedule(topic, uniqueKey, dueAt, (one, place) => {
        if (place !== undefined) rescheduled.push(place)
        if (one === 'fired') result.fired++
        if (result.outcome === 'unknown' || one === 'open') result.outcome = one
        done()
      }),
    )
    if (rescheduled.length > 0 && result.outcome !== 'open') result.outcome = 'rescheduled'
    return { ...result, rescheduled }
  }

  /** Parked records of the key, newest first, settled ones and earlier places of a moved one among them. */
  async find(topic: string, key: string): Promise<number[]> {
    const { clock, records } = this.#options
    const candidates = new Set<number>()
    for (const room of WAITING_ROOMS) {
      for (const physicalOffset of this.#options.findByKey(room, key)) candidates.add(physicalOffset)
      if (candidates.size > CANDIDATES_MAX) {
        throw new BrokerError(
          'INVALID_PARAMETER',
          `more than ${CANDIDATES_MAX} messages to ${topic} have the key ${key}`,
        )
      }
    }
    const found: number[] = []
    let reads = 0
    for (const physicalOffset of [...candidates].toSorted((a, b) => b - a)) {
      if (++reads % READS_PER_SLICE === 0) await nextTurn(clock)
      const { properties } = records.describe(physicalOffset) ?? {}
      if (properties?.[PropertyName.REAL_TOPIC] !== topic) continue
      const keys = properties[PropertyName.KEYS]?.split(' ') ?? []
      if (keys.includes(key) || properties[PropertyName.UNIQ_KEY] === key) found.push(physicalOffset)
    }
    return found
  }

  /** The messages of the key one by one; resolves when every `act` is done. */
  async #everyOne(topic: string, key: string, act: (uniqueKey: string, done: () => void) => void): Promise<void> {
    const { clock, records } = this.#options
    const seen = new Set<string>()
    const acts: Promise<void>[] = []
    for (const physicalOffset of await this.find(topic, key)) {
      const uniqueKey = records.describe(physicalOffset)?.properties[PropertyName.UNIQ_KEY]
      if (uniqueKey === undefined || seen.has(uniqueKey)) continue
      seen.add(uniqueKey)
      if (seen.size % READS_PER_SLICE === 0) await nextTurn(clock)
      acts.push(new Promise((done) => act(uniqueKey, done)))
    }
    await Promise.all(acts)
  }
}

function nextTurn(clock: Clock): Promise<void> {
  return new Promise((resolve) => clock.soon(resolve))
}
