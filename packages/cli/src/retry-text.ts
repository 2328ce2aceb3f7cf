import type { RetryPauses } from '@tandemmq/client'
import { UsageError } from './command.ts'
import { durationMs, durationText } from './duration.ts'

/** `levels`, a list such as `1s,10s,5m`, or `FIRST*FACTOR..MAX` such as `5s*2..2h`. @throws {UsageError} */
export function retryOf(text: string): RetryPauses {
  if (text === 'levels') return 'levels'
  const growing = /^([^*]+)\*(\d+(?:\.\d+)?)\.\.(.+)$/.exec(text)
  if (growing === null) {
    if (text.includes('*')) throw new UsageError(`--retry takes FIRST*FACTOR..MAX such as 5s*2..2h, not "${text}"`)
    return { delaysMs: text.split(',').map(durationMs) }
  }
  const [, first = '', factor, max = ''] = growing
  return { firstMs: durationMs(first), factor: Number(factor), maxMs: durationMs(max) }
}

export function retryText(retry: RetryPauses): string {
  if (retry === 'levels') return 'levels'
  if ('delaysMs' in retry) return retry.delaysMs.map(durationText).join(',')
  return `${durationText(retry.firstMs)}*${retry.factor ?? 2}..${durationText(retry.maxMs ?? 7_200_000)}`
}
