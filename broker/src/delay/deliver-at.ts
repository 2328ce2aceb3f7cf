import type { PropertyScan } from '@tandemmq/protocol'
import { BrokerError } from '../broker-error.ts'
import { decimalAt } from '../property-rewriter.ts'

const MINUS = 0x2d

export interface DelayRules {
  /** ms of delay level 1, 2, ... */
  levels: readonly number[]
  /** Longest delay other than by level, ms. */
  horizonMs: number
}

/**
 * When the message is to be delivered, ms since 1970; 0 = at once. A delay level wins, then TIMER_DELAY_SEC,
 * TIMER_DELAY_MS, TIMER_DELIVER_MS (remoting.md 4.8). A level above the highest means the highest, one of 0 or less
 * means none.
 * @param scan over `bytes`
 * @throws {BrokerError} MESSAGE_ILLEGAL when a number is none or lies beyond the horizon
 */
export function deliverAtOf(scan: PropertyScan, bytes: Buffer, nowMs: number, rules: DelayRules): number {
  if (scan.delayStart >= 0) {
    const level = levelAt(bytes, scan.delayStart, scan.delayEnd)
    if (level > 0) return nowMs + levelDelay(level, rules.levels)
  }
  let at: number
  if (scan.timerDelaySecStart >= 0) {
    at = nowMs + 1000 * numberAt('TIMER_DELAY_SEC', bytes, scan.timerDelaySecStart, scan.timerDelaySecEnd)
  } else if (scan.timerDelayMsStart >= 0) {
    at = nowMs + numberAt('TIMER_DELAY_MS', bytes, scan.timerDelayMsStart, scan.timerDelayMsEnd)
  } else if (scan.timerDeliverMsStart >= 0) {
    at = numberAt('TIMER_DELIVER_MS', bytes, scan.timerDeliverMsStart, scan.timerDeliverMsEnd)
  } else return 0
  if (at > nowMs + rules.horizonMs) {
    throw beyondHorizon(at - nowMs, rules.horizonMs)
  }
  return at > nowMs ? at : 0
}

/** Whether any property says a delay, be it a valid one or none at all. */
export function namesDelay(scan: PropertyScan): boolean {
  return (
    scan.delayStart >= 0 || scan.timerDelaySecStart >= 0 || scan.timerDelayMsStart >= 0 || scan.timerDeliverMsStart >= 0
  )
}

export function beyondHorizon(delayMs: number, horizonMs: number): BrokerError {
  return new BrokerError('MESSAGE_ILLEGAL', `a delay of ${delayMs} ms exceeds the longest allowed, ${horizonMs}`)
}

export function levelDelay(level: number, levels: readonly number[]): number {
  return levels[Math.min(level, levels.length) - 1] ?? 0
}

/** @returns the delay level, 0 for one that means no delay */
export function levelAt(bytes: Buffer, start: number, end: number): number {
  const negative = bytes[start] === MINUS
  const level = numberAt('DELAY', bytes, negative ? start + 1 : start, end)
  return negative ? 0 : level
}

function numberAt(name: string, bytes: Buffer, start: number, end: number): number {
  const value = decimalAt(bytes, start, end)
  if (Number.isNaN(value)) {
    throw new BrokerError(
      'MESSAGE_ILLEGAL',
      `${name} is no number: "${bytes.toString('utf8', start, Math.min(end, start + 40))}"`,
    )
  }
  return value
}
