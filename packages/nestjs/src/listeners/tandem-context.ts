import { BaseRpcContext } from '@nestjs/microservices'
import type { ConsumedMessage, HandlerContext } from '@tandemmq/client'

/** The delivery a handler is called for: what `@Ctx()` injects and `ExecutionContext.switchToRpc().getContext()` returns. */
export class TandemContext extends BaseRpcContext<[message: ConsumedMessage, group: string, delivery: HandlerContext]> {
  /** The message as the client delivered it. */
  getMessage(): ConsumedMessage {
    return this.args[0]
  }

  /** Consumer group that got this delivery. */
  getGroup(): string {
    return this.args[1]
  }

  /** Aborted when this delivery's time is up or the application stops waiting for it. */
  get signal(): AbortSignal {
    return this.args[2].signal
  }

  getTopic(): string {
    return this.args[0].topic
  }

  /** The topic; instrumentation asks custom transports for it under this name. */
  getPattern(): string {
    return this.args[0].topic
  }

  /** Empty text when the message has none. */
  getTag(): string {
    return this.args[0].tag
  }

  /** {@link getTag} under RocketMQ's name: one tag, as everywhere in its model. */
  getTags(): string {
    return this.args[0].tag
  }

  getKeys(): readonly string[] {
    return this.args[0].keys
  }

  getMessageId(): string {
    return this.args[0].messageId
  }

  /** 1 for the first delivery. */
  getAttempt(): number {
    return this.args[0].attempt
  }

  /** RocketMQ's word: deliveries before this one. */
  getReconsumeTimes(): number {
    return this.args[0].attempt - 1
  }

  /** User properties of the message. */
  getMetadata(): Readonly<Record<string, string>> {
    return this.args[0].properties
  }
}
