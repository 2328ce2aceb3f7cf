import { PropertyName } from './property-names.ts'

const NAME_END = 1
const ENTRY_END = 2

/** Properties a {@link PropertyScan} looks for; the number is its slot. */
export const ScannedProperty = {
  TAGS: 0,
  KEYS: 1,
  UNIQ_KEY: 2,
  DELAY: 3,
  TIMER_DELAY_SEC: 4,
  TIMER_DELAY_MS: 5,
  TIMER_DELIVER_MS: 6,
  TRAN_MSG: 7,
  PGROUP: 8,
  DEDUP_KEY: 9,
  POP_CK: 10,
  WAIT: 11,
  MSG_REGION: 12,
  TRACE_ON: 13,
  CLUSTER: 14,
  REAL_TOPIC: 15,
  REAL_QID: 16,
  RETRY_TOPIC: 17,
  ORIGIN_MESSAGE_ID: 18,
  RECONSUME_TIME: 19,
  MAX_RECONSUME_TIMES: 20,
  TRANSACTION_ID: 21,
  CHECK_IMMUNITY_TIME_IN_SECONDS: 22,
  TIMER_DEL_UNIQKEY: 23,
  TANDEM_DOMAIN: 24,
  PRIORITY: 25,
  SHARDING_KEY: 26,
} as const satisfies Partial<Record<keyof typeof PropertyName, number>>

export type ScannedProperty = (typeof ScannedProperty)[keyof typeof ScannedProperty]

interface Candidate {
  name: Buffer
  slot: number
}

const SLOTS = Object.keys(ScannedProperty).length
const byLength: Candidate[][] = Array.from({ length: 32 }, () => [])
for (const [key, slot] of Object.entries(ScannedProperty) as [keyof typeof ScannedProperty, number][]) {
  const name = Buffer.from(PropertyName[key])
  ;(byLength[name.length] as Candidate[]).push({ name, slot })
}

/**
 * Finds the values of the known properties in one pass over the bytes; reused, no allocation. Positions are -1 when absent. Reads as
 * decodeProperties does: the last of a repeated name counts, an entry without value is absent.
 */
export class PropertyScan {
  bytes: Buffer = Buffer.alloc(0)
  readonly #starts = new Int32Array(SLOTS)
  readonly #ends = new Int32Array(SLOTS)
  #found = 0

  scan(bytes: Buffer, start: number, end: number): void {
    this.bytes = bytes
    this.#found = 0
    let at = start
    while (at < end) {
      const nameStart = at
      let byte = 0
      while (at < end && (byte = bytes[at] as number) > ENTRY_END) at++
      // A zero byte is part of a name like any other.
      while (at < end && byte !== NAME_END && byte !== ENTRY_END) byte = bytes[++at] as number
      if (at >= end) return
      if (byte === ENTRY_END) {
        at++
        continue
      }
      const slot = slotOf(bytes, nameStart, at)
      const valueStart = ++at
      while (at < end && bytes[at] !== ENTRY_END) at++
      if (slot >= 0 && at > valueStart) {
        this.#starts[slot] = valueStart
        this.#ends[slot] = at
        this.#found |= 1 << slot
      }
      at++
    }
  }

  /** Where the value begins, -1 when the property is absent. */
  start(property: ScannedProperty): number {
    return (this.#found >>> property) & 1 ? (this.#starts[property] as number) : -1
  }

  /** Where the value ends, -1 when the property is absent. */
  end(property: ScannedProperty): number {
    return (this.#found >>> property) & 1 ? (this.#ends[property] as number) : -1
  }

  /** The value, undefined when the property is absent. */
  text(property: ScannedProperty): string | undefined {
    const start = this.start(property)
    return start < 0 ? undefined : this.bytes.toString('utf8', start, this.end(property))
  }

  get tagsStart(): number {
    return this.start(ScannedProperty.TAGS)
  }

  get tagsEnd(): number {
    return this.end(ScannedProperty.TAGS)
  }

  get keysStart(): number {
    return this.start(ScannedProperty.KEYS)
  }

  get keysEnd(): number {
    return this.end(ScannedProperty.KEYS)
  }

  get uniqKeyStart(): number {
    return this.start(ScannedProperty.UNIQ_KEY)
  }

  get uniqKeyEnd(): number {
    return this.end(ScannedProperty.UNIQ_KEY)
  }

  get delayStart(): number {
    return this.start(ScannedProperty.DELAY)
  }

  get delayEnd(): number {
    return this.end(ScannedProperty.DELAY)
  }

  get timerDelaySecStart(): number {
    return this.start(ScannedProperty.TIMER_DELAY_SEC)
  }

  get timerDelaySecEnd(): number {
    return this.end(ScannedProperty.TIMER_DELAY_SEC)
  }

  get timerDelayMsStart(): number {
    return this.start(ScannedProperty.TIMER_DELAY_MS)
  }

  get timerDelayMsEnd(): number {
    return this.end(ScannedProperty.TIMER_DELAY_MS)
  }

  get timerDeliverMsStart(): number {
    return this.start(ScannedProperty.TIMER_DELIVER_MS)
  }

  get timerDeliverMsEnd(): number {
    return this.end(ScannedProperty.TIMER_DELIVER_MS)
  }

  get tranMsgStart(): number {
    return this.start(ScannedProperty.TRAN_MSG)
  }

  get tranMsgEnd(): number {
    return this.end(ScannedProperty.TRAN_MSG)
  }

  get pgroupStart(): number {
    return this.start(ScannedProperty.PGROUP)
  }

  get pgroupEnd(): number {
    return this.end(ScannedProperty.PGROUP)
  }

  get dedupKeyStart(): number {
    return this.start(ScannedProperty.DEDUP_KEY)
  }

  get dedupKeyEnd(): number {
    return this.end(ScannedProperty.DEDUP_KEY)
  }

  get popCkStart(): number {
    return this.start(ScannedProperty.POP_CK)
  }

  get popCkEnd(): number {
    return this.end(ScannedProperty.POP_CK)
  }
}

function slotOf(bytes: Buffer, start: number, end: number): number {
  const length = end - start
  if (length >= byLength.length) return -1
  const candidates = byLength[length] as Candidate[]
  for (let index = 0; index < candidates.length; index++) {
    const candidate = candidates[index] as Candidate
    if (equals(bytes, start, candidate.name)) return candidate.slot
  }
  return -1
}

function equals(bytes: Buffer, start: number, name: Buffer): boolean {
  for (let index = 0; index < name.length; index++) {
    if (bytes[start + index] !== name[index]) return false
  }
  return true
}
