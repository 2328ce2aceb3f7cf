import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs'
import { join } from 'node:path'

/** A committed order: its messages are numbered from 0. */
export interface CommittedOrder {
  readonly id: number
  readonly messages: number
  /** Postgres' clock at the insert, ms since 1970. */
  readonly at: number
}

export type Offence = 'ghost' | 'lost' | 'doubled' | 'untrue' | 'disordered'

export interface Finding {
  readonly offence: Offence
  /** `<id>#<n>`, or the id of the order. */
  readonly key: string
}

const PLACES = 16
const CHUNK_BYTES = 1 << 20

/**
 * Compares by key what Postgres committed, what a reader of every position received, and what the callers were told. Knows
 * nothing of the product; small enough for millions.
 */
export class OrderLedger {
  readonly #directory: string
  readonly #isStock: boolean
  /** By message, the dedup key of its first copy; only of a stock broker. */
  readonly #keys = new Map<number, string>()
  readonly #received = new Map<number, number>()
  readonly #versions = new Map<number, number>()
  readonly #disordered: string[] = []
  #offset = 0
  #rest = ''

  /**
   * @param options.isStock a broker that recognises no repeats and keeps no order of transactions: copies under one dedup key,
   * which the inbox applies once, are counted and not held against it, and no order is asked for
   */
  constructor(directory: string, options: { isStock?: boolean } = {}) {
    this.#directory = directory
    this.#isStock = options.isStock ?? false
  }

  /** Copies of messages that came before under the same dedup key, from a stock broker. */
  repeats = 0

  get #readerFile(): string {
    return join(this.#directory, 'reader.received')
  }

  get received(): number {
    return this.#received.size
  }

  /** Takes in what the reader wrote since the last call. */
  read(): void {
    const file = openSync(this.#readerFile, 'r')
    try {
      const chunk = Buffer.alloc(CHUNK_BYTES)
      for (let size = -1; size !== 0; this.#offset += size) {
        size = readSync(file, chunk, 0, CHUNK_BYTES, this.#offset)
        const lines = `${this.#rest}${chunk.toString('latin1', 0, size)}`.split('\n')
        this.#rest = lines.pop() ?? ''
        for (const line of lines) this.#take(line)
      }
    } finally {
      closeSync(file)
    }
  }

  #take(line: string): void {
    const [key = '', , entity, version] = line.split(' ', 4)
    const [id = '', n = ''] = key.split('#')
    const number = Number(id) * PLACES + Number(n)
    if (this.#isStock) {
      const dedupKey = line.slice(line.lastIndexOf(' ') + 1)
      const first = this.#keys.get(number)
      if (first === dedupKey) return void this.repeats++
      if (first === undefined) this.#keys.set(number, dedupKey)
    }
    const times = (this.#received.get(number) ?? 0) + 1
    this.#received.set(number, times)
    if (entity === '-1' || times > 1 || this.#isStock) return
    const latest = this.#versions.get(Number(entity)) ?? 0
    if (Number(version) < latest) this.#disordered.push(key)
    this.#versions.set(Number(entity), Math.max(latest, Number(version)))
  }

  /** How many messages of these orders have not come. */
  missing(orders: readonly CommittedOrder[]): number {
    let missing = 0
    for (const { id, messages } of orders) {
      for (let n = 0; n < messages; n++) if (!this.#received.has(id * PLACES + n)) missing++
    }
    return missing
  }

  findings(orders: readonly CommittedOrder[]): Finding[] {
    const found: Finding[] = this.#disordered.map((key) => ({ offence: 'disordered', key }))
    const expected = new Map(orders.map(({ id, messages }) => [id, messages]))
    for (const [number, times] of this.#received) {
      const id = Math.floor(number / PLACES)
      const key = `${id}#${number % PLACES}`
      if (number % PLACES >= (expected.get(id) ?? 0)) found.push({ offence: 'ghost', key })
      else if (times > 1) found.push({ offence: 'doubled', key })
    }
    for (const { id, messages } of orders) {
      for (let n = 0; n < messages; n++) {
        if (!this.#received.has(id * PLACES + n)) found.push({ offence: 'lost', key: `${id}#${n}` })
      }
    }
    return [...found, ...this.#untrue(expected)]
  }

  /** Callers who were told another outcome than Postgres holds. */
  #untrue(expected: ReadonlyMap<number, number>): Finding[] {
    const found: Finding[] = []
    for (const name of readdirSync(this.#directory).filter((file) => file.endsWith('.told'))) {
      const lines = readFileSync(join(this.#directory, name), 'latin1').split('\n')
      for (const line of lines.slice(0, -1)) {
        const [id = '', outcome] = line.split(' ')
        if (outcome !== 'd' && (outcome === 'c') !== expected.has(Number(id)))
          found.push({ offence: 'untrue', key: line })
      }
    }
    return found
  }

  /** Lines of `<process>.anomalies`: what the product itself says must not happen. */
  anomalies(): string[] {
    const files = readdirSync(this.#directory).filter((file) => file.endsWith('.anomalies'))
    return files.flatMap((file) => readFileSync(join(this.#directory, file), 'utf8').split('\n').filter(Boolean))
  }

  /** Everything written about an order: what arrived when and where, what its caller was told. */
  history(key: string): string[] {
    const id = key.split(/[# ]/)[0] ?? ''
    const lines: string[] = []
    for (const name of readdirSync(this.#directory).filter((file) => /\.(received|told)$/.test(file))) {
      for (const line of readFileSync(join(this.#directory, name), 'latin1').split('\n')) {
        if (line.startsWith(`${id}#`) || line.startsWith(`${id} `)) lines.push(`${name}: ${line}`)
      }
    }
    return lines
  }
}
