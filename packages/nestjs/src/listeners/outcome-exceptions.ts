import { RpcException } from '@nestjs/microservices'

// What the client knows an outcome by, whatever its class.
const OUTCOME: unique symbol = Symbol.for('tandemmq.outcome')

/**
 * Thrown by a listener or a controller's handler: deliver this message again after `delayMs`, still counted as an attempt.
 * The client's class of this name does the same in a listener; in a controller Nest shows the transport only what is an
 * `RpcException`, so guards and interceptors there must throw this one.
 */
export class ReconsumeLater extends RpcException {
  /** Whole ms: what was given, rounded up; 0 for what is no positive number. */
  readonly delayMs: number
  readonly [OUTCOME] = 'reconsumeLater'

  /** @param options.delayMs exact on TandemMQ; on Apache RocketMQ the next longer of its 18 delay levels */
  constructor(options: { delayMs: number }, reason = 'later') {
    super(reason)
    this.name = 'ReconsumeLater'
    this.delayMs = options.delayMs > 0 ? Math.ceil(options.delayMs) : 0
  }

  /** Nest hands the transport what this returns. */
  override getError(): this {
    return this
  }
}

/** Thrown likewise: never deliver this message again, put it into the dead letter topic with this reason. */
export class RejectMessage extends RpcException {
  readonly [OUTCOME] = 'rejectMessage'

  constructor(reason: string, options?: ErrorOptions) {
    super(reason)
    this.name = 'RejectMessage'
    if (options?.cause !== undefined) this.cause = options.cause
  }

  override getError(): this {
    return this
  }
}
