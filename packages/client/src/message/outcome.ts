/**
 * Tells an outcome whatever class it is of: another copy of this package, or a framework's own exception that carries this
 * property, decides as well as ours.
 */
const OUTCOME: unique symbol = Symbol.for('tandemmq.outcome')

type Outcome = 'reconsumeLater' | 'rejectMessage'

function isOutcome(value: unknown, outcome: Outcome): boolean {
  return typeof value === 'object' && value !== null && (value as { [OUTCOME]?: Outcome })[OUTCOME] === outcome
}

/** Thrown by a handler: deliver this message again after `delayMs`. */
export class ReconsumeLater extends Error {
  static override [Symbol.hasInstance](value: unknown): boolean {
    if (this !== ReconsumeLater) return Function.prototype[Symbol.hasInstance].call(this, value)
    return isOutcome(value, 'reconsumeLater')
  }

  readonly [OUTCOME]: Outcome = 'reconsumeLater'
  /** Whole ms: what was given, rounded up; 0 for what is no positive number. */
  readonly delayMs: number

  /** @param options.delayMs exact on TandemMQ; on Apache RocketMQ the next longer of its 18 delay levels */
  constructor(options: { delayMs: number }, reason = 'later') {
    super(reason)
    this.name = 'ReconsumeLater'
    // A fraction has no form on the wire; later is allowed, earlier is not.
    this.delayMs = options.delayMs > 0 ? Math.ceil(options.delayMs) : 0
  }
}

/** Thrown by a handler: never deliver this message again, put it into the dead letter topic with this reason. */
export class RejectMessage extends Error {
  static override [Symbol.hasInstance](value: unknown): boolean {
    if (this !== RejectMessage) return Function.prototype[Symbol.hasInstance].call(this, value)
    return isOutcome(value, 'rejectMessage')
  }

  readonly [OUTCOME]: Outcome = 'rejectMessage'

  constructor(reason: string, options?: ErrorOptions) {
    super(reason, options)
    this.name = 'RejectMessage'
  }
}
