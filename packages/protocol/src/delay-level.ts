import { ProtocolError } from './errors.ts'

const UNIT_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** RocketMQ's messageDelayLevel. */
export const DEFAULT_DELAY_LEVEL_TEXT = '1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h'

/**
 * Delay of each level in ms; index 0 is level 1.
 * @param text numbers with unit s, m, h or d, one space between them
 * @throws {ProtocolError} OPTION_INVALID
 */
export function parseDelayLevels(text: string): number[] {
  return text.split(' ').map((part) => {
    const match = /^([0-9]{1,9})([smhd])$/.exec(part)
    if (match === null)
      throw new ProtocolError('OPTION_INVALID', `delay levels ${JSON.stringify(text)}: ${JSON.stringify(part)}`)
    return Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS]
  })
}

/** Delay of each of the 18 default levels in ms; index 0 is level 1. */
export const DEFAULT_DELAY_LEVELS: readonly number[] = parseDelayLevels(DEFAULT_DELAY_LEVEL_TEXT)
