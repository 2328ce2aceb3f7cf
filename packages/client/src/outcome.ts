/** Thrown by a handler: deliver this message again after `delayMs`. */
export class ReconsumeLater extends Error {
  readonly delayMs: number

  /** @param options.delayMs exact on TandemMQ; on Apache RocketMQ the next longer of its 18 delay levels */
  constructor(options: { delayMs: number }, reason = 'later') {
    super(reason)
    this.name = 'ReconsumeLater'
    this.delayMs = Math.max(0, options.delayMs)
  }
}

/** Thrown by a handler: never deliver this message again, put it into the dead letter topic with this reason. */
export class RejectMessage extends Error {
  constructor(reason: string, options?: ErrorOptions) {
    super(reason, options)
    this.name = 'RejectMessage'
  }
}
