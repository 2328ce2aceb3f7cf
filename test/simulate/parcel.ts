import { createHash } from 'node:crypto'
import type { SeededRandom } from '../kit/seeded-random.ts'

/**
 * What a handler does with a message: `ok`; `flaky` fails so many deliveries; `later` asks for a pause in its first; `poison`
 * fails always; `reject` wants it dead at once.
 */
export interface Fate {
  readonly kind: 'ok' | 'flaky' | 'later' | 'poison' | 'reject'
  readonly n: number
}

/** The body of every message: its name, its fate, and bytes that make it longer. */
export interface Parcel {
  readonly id: string
  readonly fate: Fate
  readonly key?: string
}

const FATES = ['ok', 'ok', 'ok', 'ok', 'ok', 'ok', 'ok', 'flaky', 'later', 'poison', 'reject'] as const
export const SMALL = [0, 0, 50] as const
const SIZES = [0, 0, 0, 50, 500, 5_000, 50_000] as const

export function drawBody(random: SeededRandom, id: string, key?: string, sizes: readonly number[] = SIZES): string {
  const fate = { kind: random.pick(FATES), n: random.between(1, 2) }
  return `${JSON.stringify({ id, fate, ...(key !== undefined && { key }) })}\n${'x'.repeat(random.pick(sizes))}`
}

/** One that every handler takes at once. */
export function plainBody(id: string): string {
  return `${JSON.stringify({ id, fate: { kind: 'ok', n: 1 } })}\n`
}

export const TAGS = ['red', 'green', 'blue'] as const

/** One in four has no tag. */
export function tagOf(n: number): string | undefined {
  return TAGS[n % 4]
}

export function parcelOf(body: string): Parcel {
  return JSON.parse(body.slice(0, body.indexOf('\n'))) as Parcel
}

export function hashOf(body: string): string {
  return createHash('sha1').update(body).digest('base64').slice(0, 12)
}
