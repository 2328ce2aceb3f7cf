import { TandemError } from '@tandemmq/protocol'

/** A request the broker refuses; `errorTable[code].remote` is the response code the client sees. */
export class BrokerError extends TandemError {}

/** Too much is under way. Clients are told when to come back: header field `retryAfterMs`, and the remark for those who read that. */
export class BusyError extends BrokerError {
  /** Whole ms. */
  readonly retryAfterMs: number

  constructor(detail: string, retryAfterMs: number) {
    super('SYSTEM_BUSY', `${detail}, retry after ${retryAfterMs} ms`)
    this.retryAfterMs = retryAfterMs
  }
}
