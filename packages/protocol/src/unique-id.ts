// UNIQ_KEY (MessageClientIDSetter.java, remoting.md 3.8): upper-case hex of address (4 or 16), low 16 bits of the process id, a 4-byte number
// of this generator, ms since the first of the local month (4), counter (2). Brokers and tools read the time out of it.

const COUNTER_END = 0x10000

/** Makes the ids clients put on messages: no two calls return the same within a month. */
export class UniqueIdGenerator {
  readonly #prefix: string
  #monthStart = 0
  #nextMonthStart = Number.NEGATIVE_INFINITY
  #time = 0
  #timeText = ''
  #counter = 0
  /** Ids this ms can still give without a repeat. */
  #left = COUNTER_END

  /**
   * @param ip 4 or 16 address bytes
   * @param seed 32-bit number that tells apart generators of one process and processes that got the same id
   */
  constructor(ip: Buffer, pid: number, seed: number) {
    this.#prefix = (ip.toString('hex') + hex(pid & 0xffff, 4) + hex(seed >>> 0, 8)).toUpperCase()
  }

  /** @param nowMs wall clock; it may go back, the ids stay different */
  next(nowMs: number): string {
    if (nowMs >= this.#nextMonthStart || nowMs < this.#monthStart - 86_400_000) this.#startMonth(nowMs)
    const time = Math.max(0, Math.floor(nowMs - this.#monthStart))
    if (time > this.#time) this.#setTime(time)
    // The counter goes on from one ms to the next, as in Java, so only its full round needs another ms.
    const id =
      this.#prefix + this.#timeText + (PAIRS[this.#counter >> 8] as string) + (PAIRS[this.#counter & 0xff] as string)
    this.#counter++
    this.#left--
    if (this.#counter === COUNTER_END) this.#counter = 0
    if (this.#left === 0) this.#setTime(this.#time + 1)
    return id
  }

  #setTime(time: number): void {
    this.#time = time
    this.#timeText = hex(time, 8)
    this.#left = COUNTER_END
  }

  #startMonth(nowMs: number): void {
    const now = new Date(nowMs)
    this.#monthStart = new Date(now.getFullYear(), now.getMonth(), 1).getTime()
    this.#nextMonthStart = new Date(now.getFullYear(), now.getMonth() + 1, 1).getTime()
    this.#setTime(Math.max(0, Math.floor(nowMs - this.#monthStart)))
  }
}

/** 00 … FF: two look-ups spell the part of an id that changes each time. */
const PAIRS = Array.from({ length: 256 }, (_, value) => hex(value, 2))

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0').toUpperCase()
}
