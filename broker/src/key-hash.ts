import type { Clock } from '@tandemmq/remoting'

/**
 * 64-bit keyed hash of (topic, key) as two signed 32-bit halves: HalfSipHash-1-3. The key is drawn when the process starts,
 * so a stranger cannot prepare message keys that fall on one another (Aumasson and Bernstein, SipHash, 2012).
 */
export class KeyHash {
  #k0: number
  #k1: number
  /** Halves of the last hash. */
  low = 0
  high = 0

  constructor(clock: Clock) {
    this.#k0 = (clock.random() * 0x1_0000_0000) | 0
    this.#k1 = (clock.random() * 0x1_0000_0000) | 0
  }

  /** The key, for who keeps hashes longer than the process lives. */
  get key(): [number, number] {
    return [this.#k0, this.#k1]
  }

  set key([k0, k1]: [number, number]) {
    this.#k0 = k0 | 0
    this.#k1 = k1 | 0
  }

  /** Hashes `topic[topicStart, topicEnd)` and `key[start, end)`; the result is in `low` and `high`. */
  of(topic: Uint8Array, topicStart: number, topicEnd: number, key: Uint8Array, start: number, end: number): void {
    let v0 = this.#k0
    let v1 = this.#k1
    let v2 = 0x6c796765 ^ this.#k0
    let v3 = 0x74656462 ^ this.#k1 ^ 0xee
    v1 ^= 0xee
    let bytes = topic
    let at = topicStart
    let stop = topicEnd
    for (let part = 0; part < 2; part++) {
      // The length closes each part, so that no two different pairs give one stream of words.
      const length = stop - at
      for (; at + 4 <= stop; at += 4) {
        const word =
          (bytes[at] as number) |
          ((bytes[at + 1] as number) << 8) |
          ((bytes[at + 2] as number) << 16) |
          ((bytes[at + 3] as number) << 24)
        v3 ^= word
        v0 = (v0 + v1) | 0
        v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
        v0 = (v0 << 16) | (v0 >>> 16)
        v2 = (v2 + v3) | 0
        v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
        v0 = (v0 + v3) | 0
        v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
        v2 = (v2 + v1) | 0
        v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
        v2 = (v2 << 16) | (v2 >>> 16)
        v0 ^= word
      }
      let word = length << 24
      if (stop - at > 2) word |= (bytes[at + 2] as number) << 16
      if (stop - at > 1) word |= (bytes[at + 1] as number) << 8
      if (stop - at > 0) word |= bytes[at] as number
      v3 ^= word
      v0 = (v0 + v1) | 0
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
      v0 = (v0 << 16) | (v0 >>> 16)
      v2 = (v2 + v3) | 0
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
      v0 = (v0 + v3) | 0
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
      v2 = (v2 + v1) | 0
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
      v2 = (v2 << 16) | (v2 >>> 16)
      v0 ^= word
      bytes = key
      at = start
      stop = end
    }
    v2 ^= 0xee
    for (let round = 0; round < 6; round++) {
      v0 = (v0 + v1) | 0
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
      v0 = (v0 << 16) | (v0 >>> 16)
      v2 = (v2 + v3) | 0
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
      v0 = (v0 + v3) | 0
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
      v2 = (v2 + v1) | 0
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
      v2 = (v2 << 16) | (v2 >>> 16)
      if (round === 2) {
        this.low = v1 ^ v3
        v1 ^= 0xdd
      }
    }
    this.high = v1 ^ v3
  }
}
