import type { Clock, Timer } from '@tandemmq/remoting'
import { messageOf } from '../client-error.ts'
import type { Logger } from '../logger.ts'

/** Numbers of a trace since its client was made. */
export interface TraceStats {
  /** Records the broker stored. */
  readonly sent: number
  /** Records lost: the queue was full, the broker did not take them, or the client was closed before. */
  readonly dropped: number
  /** Records that wait. */
  readonly waiting: number
}

export interface TracePort {
  readonly clock: Clock
  readonly logger: Logger
  /** Resolves when the broker stored it. */
  send(body: string, keys: string): Promise<void>
}

interface TraceRecord {
  readonly text: string
  readonly keys: string
}

/** As Java's AsyncTraceDispatcher: records that wait, bytes of a body, and how long a record waits for company. */
const WAITING_MAX = 2_048
const BODY_CHARACTERS_MAX = 42_000
const RECORDS_MAX = 100
const FLUSH_MS = 500
/** Properties of a message take 32,767 bytes; a character takes 3 at most. */
const KEYS_CHARACTERS_MAX = 10_000

/** Sends trace records in batches, one request at a time, beside everything else. Never waits, never throws: it drops and counts. */
export class TraceDispatcher {
  readonly #port: TracePort
  #waiting: TraceRecord[] = []
  #sent = 0
  #dropped = 0
  #reported = 0
  #timer: Timer | undefined
  #sending: Promise<void> | undefined
  #isClosed = false

  constructor(port: TracePort) {
    this.#port = port
  }

  get stats(): TraceStats {
    return { sent: this.#sent, dropped: this.#dropped, waiting: this.#waiting.length }
  }

  /** @param keys what the record is found by: message id and keys, joined by spaces */
  append(text: string, keys: string): void {
    if (this.#isClosed || this.#waiting.length >= WAITING_MAX) {
      this.#dropped++
      return
    }
    this.#waiting.push({ text, keys })
    if (this.#waiting.length >= RECORDS_MAX) this.#flush()
    else this.#timer ??= this.#port.clock.setTimer(FLUSH_MS, () => this.#flush())
  }

  /** Sends what waits, for at most `timeoutMs`; the rest counts as dropped. */
  async close(timeoutMs: number): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#timer?.cancel()
    let timer: Timer | undefined
    const deadline = new Promise<void>((resolve) => {
      timer = this.#port.clock.setTimer(timeoutMs, resolve)
    })
    this.#flush()
    await Promise.race([this.#sending ?? Promise.resolve(), deadline])
    timer?.cancel()
    this.#dropped += this.#waiting.length
    this.#waiting = []
    this.#report()
  }

  #flush(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    if (this.#sending !== undefined || this.#waiting.length === 0) return
    this.#sending = this.#sendAll().finally(() => {
      this.#sending = undefined
      this.#report()
    })
  }

  async #sendAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#nextBatch()
      const keys = [...new Set(batch.flatMap((record) => record.keys.split(' ')))].join(' ')
      try {
        await this.#port.send(batch.map((record) => record.text).join(''), keys)
        this.#sent += batch.length
      } catch (error) {
        this.#dropped += batch.length
        this.#port.logger.debug(`a trace of ${batch.length} records was not stored: ${messageOf(error)}`)
      }
    }
  }

  #nextBatch(): TraceRecord[] {
    let characters = 0
    let keyCharacters = 0
    let count = 0
    for (const { text, keys } of this.#waiting) {
      characters += text.length
      keyCharacters += keys.length + 1
      const isFull = count === RECORDS_MAX || characters > BODY_CHARACTERS_MAX || keyCharacters > KEYS_CHARACTERS_MAX
      if (count > 0 && isFull) break
      count++
    }
    return this.#waiting.splice(0, count)
  }

  #report(): void {
    if (this.#dropped === this.#reported) return
    this.#port.logger.warn(`${this.#dropped - this.#reported} trace records were dropped, ${this.#dropped} in all`)
    this.#reported = this.#dropped
  }
}
