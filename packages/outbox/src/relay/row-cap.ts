import { OutboxError } from '../outbox-error.ts'

/**
 * A limit for the outbox table: beyond it transactions fail instead of filling the disk. Counted by the relay once a second,
 * and in between by what this process adds, so that several processes may exceed it by what they write in a second.
 */
export class RowCap {
  readonly #rowsMax: number
  #counted = 0
  #added = 0

  constructor(rowsMax: number) {
    this.#rowsMax = rowsMax
  }

  /** The relay need not count further. */
  get rowsCounted(): number {
    return this.#rowsMax + 1
  }

  /** What the relay found. */
  counted(rows: number): void {
    this.#counted = rows
    this.#added = 0
  }

  /** @throws {OutboxError} OUTBOX_FULL */
  add(rows: number): void {
    if (this.#counted + this.#added + rows > this.#rowsMax) {
      throw new OutboxError(
        'OUTBOX_FULL',
        `${this.#counted + this.#added} messages wait in the outbox table for the broker, outboxRowsMax is ${this.#rowsMax}`,
      )
    }
    this.#added += rows
  }
}
