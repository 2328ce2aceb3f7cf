import { errorTable, type HeaderView, ResponseCode, TandemError } from '@tandemmq/protocol'
import type { Connection, ConnectionOwner } from '@tandemmq/remoting'
import { refusalFieldsOf } from './answer-fields.ts'
import type { Measurements } from '../measurements.ts'
import type { Handler } from './handler.ts'
import { type Refusal, refusals } from './request-table.ts'

const TABLE_SIZE = 1024
/** A binary header holds 16 bits of a code: what it lacks of 200050 and its neighbours (remoting.md 1.3). */
const LOST_BITS = 0x30000

/** One table from request code to handler; what is not in it is answered with "not supported". */
export class Dispatcher implements ConnectionOwner {
  readonly #low: (Handler | undefined)[] = new Array(TABLE_SIZE).fill(undefined)
  readonly #high = new Map<number, Handler>()
  readonly #onClosed: (connection: Connection, error?: Error) => void
  readonly #log: (line: string) => void
  readonly #refusals: ReadonlyMap<number, Refusal>
  readonly #measured: Measurements | undefined
  #refused = 0
  #failed = 0

  constructor(options: {
    handlers: Iterable<Map<number, Handler>>
    /** `error`: why, when nobody asked for it. */
    onClosed: (connection: Connection, error?: Error) => void
    log: (line: string) => void
    /** Counts refusals by code. Default: nobody. */
    measured?: Measurements
    /** Answers to codes without a handler. Default: a broker's. */
    refusals?: ReadonlyMap<number, Refusal>
  }) {
    this.#onClosed = options.onClosed
    this.#log = options.log
    this.#measured = options.measured
    this.#refusals = options.refusals ?? refusals
    for (const table of options.handlers) {
      for (const [code, handler] of table) {
        if (this.codes().includes(code)) throw new Error(`request code ${code} has two handlers`)
        if (code < TABLE_SIZE) this.#low[code] = handler
        else this.#high.set(code, handler)
      }
    }
  }

  /** Request codes that have a handler, ascending. */
  codes(): number[] {
    const low = this.#low.flatMap((handler, code) => (handler === undefined ? [] : [code]))
    return [...low, ...[...this.#high.keys()].sort((a, b) => a - b)]
  }

  onRequest(connection: Connection, header: HeaderView): void {
    const code = header.code
    const handler = code >= 0 && code < TABLE_SIZE ? this.#low[code] : this.#highHandler(code, header)
    if (handler === undefined) {
      this.#refused++
      this.#measured?.refuse('REQUEST_NOT_SUPPORTED')
      if (header.isOneway) return
      const unknown = { code: ResponseCode.REQUEST_CODE_NOT_SUPPORTED, remark: ` request type ${code} not supported` }
      connection.reply(header, this.#refusals.get(code) ?? unknown)
      return
    }
    try {
      handler(connection, header)
    } catch (error) {
      this.#answerError(connection, header, error)
    }
  }

  onClosed(connection: Connection, error?: Error): void {
    this.#onClosed(connection, error)
  }

  stats(): { refused: number; failed: number } {
    return { refused: this.#refused, failed: this.#failed }
  }

  #highHandler(code: number, header: HeaderView): Handler | undefined {
    return this.#high.get(code) ?? (header.serialization === 1 ? this.#high.get(code + LOST_BITS) : undefined)
  }

  #answerError(connection: Connection, header: HeaderView, error: unknown): void {
    const known = error instanceof TandemError
    this.#measured?.refuse(known ? error.code : 'SYSTEM_ERROR')
    if (known) this.#refused++
    else {
      this.#failed++
      this.#log(`request ${header.code} failed: ${error instanceof Error ? error.stack : String(error)}`)
    }
    if (header.isOneway) return
    const extFields = refusalFieldsOf(header.code, error)
    connection.reply(header, {
      ...(extFields !== undefined && { extFields }),
      code: (known ? errorTable[error.code].remote : undefined) ?? ResponseCode.SYSTEM_ERROR,
      remark: known ? error.message : `[SYSTEM_ERROR] ${error instanceof Error ? error.message : String(error)}`,
    })
  }
}
