import { ProtocolError } from '@tandemmq/protocol'
import { fieldsOf } from './heartbeat.ts'

/** A retry later than a day is a timer's work, and a lease cannot be hidden for longer. */
export const RETRY_DELAY_MS_MAX = 86_400_000
const DELAYS_MAX = 1_000
/** broker.md 5.3: the table is read from its third entry on, which in the default one is 10 s. */
const TABLE_SKIP = 2
const POWER_MAX = 32
const EXPONENTIAL = { initial: 5_000, max: 7_200_000, multiplier: 2 }

/** `groupRetryPolicy` of a group's settings (remoting.md 1.8). */
export type GroupRetryPolicy =
  | { type: 'CUSTOMIZED'; customizedRetryPolicy?: { next: number[] } | null; [other: string]: unknown }
  | { type: 'EXPONENTIAL'; exponentialRetryPolicy?: Exponential | null; [other: string]: unknown }

/** What the rooms that deliver again need of it. */
export interface RetryPolicy {
  /** Redeliveries before a message is a dead letter; Infinity = never. */
  attemptsMax: number
  /** {@link retryDelayMs} of the group. */
  delayMs(retries: number): number | undefined
}

interface Exponential {
  /** Pause after the first failed delivery, ms. */
  initial: number
  /** Longest pause, ms. */
  max: number
  multiplier: number
}

/**
 * @param value of the field `groupRetryPolicy`; what is absent means the table of delay levels
 * @throws {ProtocolError} FIELD_INVALID: a type that does not exist, a pause below 0 or above a day, a multiplier below 1
 */
export function retryPolicyOf(value: unknown): GroupRetryPolicy {
  if (value === undefined || value === null) return { type: 'CUSTOMIZED' }
  const { type = 'CUSTOMIZED', ...fields } = fieldsOf(value, 'groupRetryPolicy')
  if (type === 'CUSTOMIZED') {
    const table = fields['customizedRetryPolicy'] ?? undefined
    if (table === undefined) return { ...fields, type }
    const { next } = fieldsOf(table, 'customizedRetryPolicy')
    if (!Array.isArray(next) || next.length === 0 || next.length > DELAYS_MAX) {
      throw invalid(`customizedRetryPolicy.next must be a list of 1 to ${DELAYS_MAX} pauses`)
    }
    return { ...fields, type, customizedRetryPolicy: { next: next.map((one) => pauseOf(one, 'next')) } }
  }
  if (type !== 'EXPONENTIAL') throw invalid(`type must be CUSTOMIZED or EXPONENTIAL, not ${JSON.stringify(type)}`)
  const given = fields['exponentialRetryPolicy'] ?? undefined
  if (given === undefined) return { ...fields, type }
  const read = { ...EXPONENTIAL, ...fieldsOf(given, 'exponentialRetryPolicy') }
  const initial = pauseOf(read.initial, 'initial')
  const max = pauseOf(read.max, 'max')
  const { multiplier } = read
  if (typeof multiplier !== 'number' || !(multiplier >= 1 && multiplier <= 1_000)) {
    throw invalid(`multiplier must be a number from 1 to 1000, not ${JSON.stringify(multiplier)}`)
  }
  if (max < initial) throw invalid(`max (${max} ms) is shorter than initial (${initial} ms)`)
  return { ...fields, type, exponentialRetryPolicy: { initial, max, multiplier } }
}

/** As {@link retryPolicyOf}, for settings stored before they were checked: what nobody could follow is the default. */
export function knownRetryPolicy(value: unknown): GroupRetryPolicy {
  try {
    return retryPolicyOf(value)
  } catch {
    return { type: 'CUSTOMIZED' }
  }
}

/**
 * Pause before the next delivery by the policy (broker.md 5.3).
 * @param retries redeliveries the message has behind it, 0 after its first delivery
 * @returns ms; undefined when the group has no policy of its own: the delay levels hold
 */
export function retryDelayMs(policy: GroupRetryPolicy, retries: number): number | undefined {
  if (policy.type === 'EXPONENTIAL') {
    const { initial, max, multiplier } = policy.exponentialRetryPolicy ?? EXPONENTIAL
    return Math.min(max, Math.round(initial * multiplier ** Math.min(retries, POWER_MAX)))
  }
  const next = policy.customizedRetryPolicy?.next
  return next?.[Math.min(retries + TABLE_SKIP, next.length - 1)]
}

function pauseOf(value: unknown, name: string): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= RETRY_DELAY_MS_MAX) return value
  throw invalid(`${name} must be whole ms from 0 to ${RETRY_DELAY_MS_MAX}, not ${JSON.stringify(value)}`)
}

const invalid = (detail: string): ProtocolError => new ProtocolError('FIELD_INVALID', `groupRetryPolicy: ${detail}`)
