import { TandemError } from '@tandemmq/protocol'
import { SeededRandom } from '../kit/seeded-random.ts'

/** A decoder of `bytes[start, end)`; what it gives is compared, so it must not be a view that is reused. */
export type Decoder = (bytes: Buffer, start: number, end: number) => unknown

/** Vectors up to this size are tried at every byte and every bit. */
const SMALL_BYTES = 256
const SAMPLES = 900
const SURROUNDINGS = 64

/** What came of one try: the value, or the code of the error. */
function outcomeOf(decode: Decoder, vector: Uint8Array, surroundings: number): string {
  const bytes = Buffer.alloc(vector.length + 2 * SURROUNDINGS, surroundings)
  bytes.set(vector, SURROUNDINGS)
  const before = Buffer.from(bytes)
  let outcome: string
  try {
    outcome = JSON.stringify(decode(bytes, SURROUNDINGS, SURROUNDINGS + vector.length), writable) ?? 'nothing'
  } catch (error) {
    if (!(error instanceof TandemError)) throw new Error(`no coded error: ${error}`, { cause: error })
    outcome = error.code
  }
  if (!bytes.equals(before)) throw new Error('the input was changed')
  return outcome
}

function writable(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return `${value}`
  if (value instanceof Map || value instanceof Set) return [...value]
  return value
}

/**
 * Feeds every truncation and every flipped bit of a small vector, samples of a large one.
 * @throws {Error} when one gave anything but a value or a coded error, changed its input, or looked at the bytes around it
 */
export function attack(decode: Decoder, vector: Buffer, seed: number): number {
  let tries = 0
  const attempt = (hostile: Uint8Array, what: string): void => {
    tries++
    try {
      // Bytes around the input that would mean something else, were they read.
      const first = outcomeOf(decode, hostile, 0x00)
      if (first !== outcomeOf(decode, hostile, 0x22) || first !== outcomeOf(decode, hostile, 0xff)) {
        throw new Error('what lies around the input matters')
      }
    } catch (error) {
      throw new Error(`${what} of ${vector.toString('hex').slice(0, 400)}: ${(error as Error).message}`, {
        cause: error,
      })
    }
  }
  attempt(vector, 'the whole')
  const random = new SeededRandom(seed)
  const isSmall = vector.length <= SMALL_BYTES
  const cuts = isSmall ? vector.length : SAMPLES / 3
  for (let n = 0; n < cuts; n++) {
    const cut = isSmall ? n : random.between(0, vector.length - 1)
    attempt(vector.subarray(0, cut), `the first ${cut} bytes`)
  }
  const flips = isSmall ? vector.length * 8 : SAMPLES
  for (let n = 0; n < flips; n++) {
    const bit = isSmall ? n : random.between(0, vector.length * 8 - 1)
    const flipped = Buffer.from(vector)
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7))
    attempt(flipped, `bit ${bit} flipped`)
  }
  for (let n = 0; n < SAMPLES / 5; n++) {
    const mangled = Buffer.from(vector)
    for (let changes = random.between(2, 8); changes > 0 && mangled.length > 0; changes--) {
      mangled[random.between(0, mangled.length - 1)] = random.pick([0, 1, 0x22, 0x5c, 0x7f, 0x80, 0xff, 0x7b, 0x2c])
    }
    attempt(mangled, `mangled ${n}`)
  }
  return tries
}
