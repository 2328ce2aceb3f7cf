import { RecordView } from '@tandemmq/protocol'
import type { Clock } from '@tandemmq/remoting'
import type { ConsumeQueue } from '../../store/index.ts'
import type { RecordReader } from '../record-reader.ts'
import type { SqlExpression } from './sql-expression.ts'
import { Truth } from './truth.ts'

/** One unit is about a nanosecond. A request that has used this much is answered with what it found so far. */
const REQUEST_WORK_MAX = 1 << 20
/** In one turn of the event loop all filters together get this much; the others wait for the next turn. */
const TURN_WORK_MAX = 4 << 20
const RECORD_WORK = 64
const COMPARISON_WORK = 16
const SCRATCH_BYTES = 64 << 10

/** Evaluates SQL92 filters on stored records, and keeps account, so that no filter holds up everybody else. */
export class SqlMatcher {
  readonly #clock: Clock
  readonly #store: RecordReader
  readonly #onTurn: () => void
  readonly #record = new RecordView()
  #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)
  #requestWork = 0
  #turnWork = 0
  #evaluated = 0
  #unreadable = 0

  /** @param options.onTurn called in the turn after one whose work was spent */
  constructor(options: { clock: Clock; store: RecordReader; onTurn?: () => void }) {
    this.#clock = options.clock
    this.#store = options.store
    this.#onTurn = options.onTurn ?? (() => {})
  }

  /** Starts the account of a request. */
  begin(): void {
    this.#requestWork = 0
  }

  /** The request should be answered now. */
  get isRequestSpent(): boolean {
    return this.#requestWork >= REQUEST_WORK_MAX
  }

  /** No further filter should be evaluated before `onTurn`. */
  get isTurnSpent(): boolean {
    return this.#turnWork >= TURN_WORK_MAX
  }

  /** `unreadable`: messages withheld because a property could not be read as the number it is compared with. */
  stats(): { evaluated: number; unreadable: number } {
    return { evaluated: this.#evaluated, unreadable: this.#unreadable }
  }

  /**
   * Whether the message at `offset` of the queue is wanted; not when retention removed it.
   * @throws {StoreError} LOG_DAMAGED
   */
  matches(expression: SqlExpression, queue: ConsumeQueue, offset: number): boolean {
    const size = queue.size(offset)
    if (size === 0) return false
    if (size > this.#scratch.length) this.#scratch = Buffer.allocUnsafeSlow(size)
    if (!this.#store.readInto(queue.physicalOffset(offset), size, this.#scratch, 0)) return false
    const record = this.#record
    if (!record.at(this.#scratch, 0)) return false
    const { propertiesStart, propertiesEnd } = record
    this.#account(RECORD_WORK + (size >> 3) + (propertiesEnd - propertiesStart) * expression.passes, expression.cost)
    const truth = expression.truth(this.#scratch, propertiesStart, propertiesEnd)
    if (truth === Truth.ERROR) this.#unreadable++
    return truth === Truth.TRUE
  }

  #account(reading: number, comparisons: number): void {
    const work = reading + comparisons * COMPARISON_WORK
    if (this.#turnWork === 0) this.#clock.soon(() => this.#nextTurn())
    this.#evaluated++
    this.#requestWork += work
    this.#turnWork += work
  }

  #nextTurn(): void {
    const wasSpent = this.isTurnSpent
    this.#turnWork = 0
    if (wasSpent) this.#onTurn()
  }
}
