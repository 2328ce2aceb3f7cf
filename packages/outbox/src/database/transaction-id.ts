import type { Clock } from '../foundation.ts'

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** Everything spliced into SQL text passes through here first. */
export function isUuid(text: string): boolean {
  return uuidPattern.test(text)
}

const RANDOM_BYTES = 10
/** One call of the generator costs as much as a hundred keys. */
const KEYS_TOGETHER = 100
const pools = new WeakMap<Clock, { bytes: Buffer; next: number }>()

function randomBytes(clock: Clock): Buffer {
  let pool = pools.get(clock)
  if (pool === undefined) pools.set(clock, (pool = { bytes: Buffer.alloc(0), next: 0 }))
  if (pool.next === pool.bytes.length) {
    pool.bytes = clock.randomBytes(RANDOM_BYTES * KEYS_TOGETHER)
    pool.next = 0
  }
  return pool.bytes.subarray(pool.next, (pool.next += RANDOM_BYTES))
}

/** A UUIDv7 (RFC 9562): new keys meet in one leaf of the marker index, and a key says when it was made. */
export function newTransactionId(clock: Clock): string {
  const bytes = randomBytes(clock)
  const time = Math.floor(clock.now()).toString(16).padStart(12, '0')
  const randomA = (0x7000 | (((bytes[0] ?? 0) << 8) & 0x0f00) | (bytes[1] ?? 0)).toString(16)
  bytes[2] = 0x80 | ((bytes[2] ?? 0) & 0x3f)
  const rest = bytes.toString('hex', 2)
  return `${time.slice(0, 8)}-${time.slice(8)}-${randomA}-${rest.slice(0, 4)}-${rest.slice(4)}`
}

/** The least UUIDv7 of an instant, ms since 1970. */
export function firstIdAt(timeMs: number): string {
  const time = Math.max(0, Math.floor(timeMs)).toString(16).padStart(12, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-000000000000`
}

/** When a UUIDv7 was made, ms since 1970. */
export function timeOfId(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
}
