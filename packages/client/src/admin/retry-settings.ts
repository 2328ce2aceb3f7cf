import { ClientError } from '../client-error.ts'
import type { JsonObject } from '../json.ts'
import { asArray, asNumber, asObject } from '../json.ts'

/**
 * Pauses between the deliveries of one message: the broker's delay levels (10 s, 30 s, 1 min … 2 h), a list whose last pause repeats,
 * or `firstMs`, each next `factor` times as long, up to `maxMs`. Whole ms, at most a day.
 */
export type RetryPauses =
  | 'levels'
  | { readonly delaysMs: readonly number[] }
  | {
      readonly firstMs: number
      /** Default 7,200,000. */
      readonly maxMs?: number | undefined
      /** Default 2. */
      readonly factor?: number | undefined
    }

/** RocketMQ reads its table from the third pause on (broker.md 5.3). */
const TABLE_SKIP = 2
const MAX_MS = 7_200_000
const PAUSE_MS_MAX = 86_400_000

/** @throws {ClientError} INVALID_PARAMETER */
export function retryPolicyJson(pauses: RetryPauses): JsonObject {
  if (pauses === 'levels') return { type: 'CUSTOMIZED' }
  if ('delaysMs' in pauses) {
    const { delaysMs } = pauses
    const [first] = delaysMs
    if (first === undefined) throw new ClientError('INVALID_PARAMETER', 'retry.delaysMs has no pause')
    const next = [...Array.from({ length: TABLE_SKIP }, () => first), ...delaysMs].map((ms) => pauseOf('delaysMs', ms))
    return { type: 'CUSTOMIZED', customizedRetryPolicy: { next } }
  }
  const initial = pauseOf('firstMs', pauses.firstMs)
  const max = pauseOf('maxMs', pauses.maxMs ?? Math.max(MAX_MS, initial))
  const multiplier = pauses.factor ?? 2
  if (!(multiplier >= 1)) {
    throw new ClientError('INVALID_PARAMETER', `retry.factor must be 1 or more, not ${String(multiplier)}`)
  }
  if (max < initial) throw new ClientError('INVALID_PARAMETER', `retry.maxMs ${max} is below firstMs ${initial}`)
  return { type: 'EXPONENTIAL', exponentialRetryPolicy: { initial, max, multiplier } }
}

export function retryPausesOf(json: unknown): RetryPauses {
  const policy = asObject(json ?? {})
  if (policy['type'] === 'EXPONENTIAL') {
    const { initial, max, multiplier } = asObject(policy['exponentialRetryPolicy'] ?? {})
    return { firstMs: asNumber(initial, 5_000), maxMs: asNumber(max, MAX_MS), factor: asNumber(multiplier, 2) }
  }
  const next = asArray(asObject(policy['customizedRetryPolicy'] ?? {})['next'] ?? []).map((one) => asNumber(one))
  if (next.length === 0) return 'levels'
  return { delaysMs: next.slice(Math.min(TABLE_SKIP, next.length - 1)) }
}

function pauseOf(name: string, ms: number): number {
  if (Number.isInteger(ms) && ms >= 0 && ms <= PAUSE_MS_MAX) return ms
  throw new ClientError(
    'INVALID_PARAMETER',
    `retry.${name} must be whole ms from 0 to ${PAUSE_MS_MAX}, not ${String(ms)}`,
  )
}
