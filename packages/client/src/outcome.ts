/** Thrown by a handler: deliver this message again after `delayMs`. */
export class ReconsumeLater extends Error {
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
  constructor(reason: string, options?: ErrorOptions) {
    super(reason, options)
    this.name = 'RejectMessage'
  }
}
