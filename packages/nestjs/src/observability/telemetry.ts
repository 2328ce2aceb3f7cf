import { TandemError } from '@tandemmq/client'
import type { ClientHook, ConsumedMessage, MessageHandler, OutgoingMessage, PushConsumer } from '@tandemmq/client'
import type { Messages } from '@tandemmq/outbox'
import type { TandemEvents, ToldGroup } from '../tandem-events.ts'
import { loadOpenTelemetry, Tracing } from './tracing.ts'
import type { OpenTelemetry } from './tracing.ts'

/** `telemetry` of `TandemModule.forRoot`. Nothing of it costs anything while it is off. */
export interface TelemetryOptions {
  /** True: spans and contexts of OpenTelemetry; `@opentelemetry/api` must be installed, or be given here. Default false. */
  tracing?: boolean | OpenTelemetry
  /** True: `TandemEvents` is told of every message. Default false. */
  events?: boolean
  /** With `events`: pause between two `lag` and `outbox` events, ms. Default 15,000. */
  gaugeIntervalMs?: number
}

/** What looks on at one connection, and the consumers it has. */
export class Telemetry {
  /** Open ones. */
  readonly consumers = new Set<PushConsumer>()
  /** Those of them that broadcast. */
  readonly broadcasting = new WeakSet<PushConsumer>()
  private readonly options: TelemetryOptions
  private readonly events: TandemEvents | undefined
  private readonly connection: string
  private loading: Promise<void> | undefined
  private tracing: Tracing | undefined

  constructor(options: TelemetryOptions | undefined, events: TandemEvents | undefined, connection: string) {
    this.options = options ?? {}
    this.events = events
    this.connection = connection
  }

  /**
   * To be awaited before anything is sent or consumed.
   * @throws {TandemError} OPTION_INVALID when tracing is wanted and `@opentelemetry/api` is not installed
   */
  ready(): Promise<void> {
    this.loading ??= this.load()
    return this.loading
  }

  private async load(): Promise<void> {
    const { tracing } = this.options
    if (tracing === undefined || tracing === false) return
    try {
      this.tracing = new Tracing(tracing === true ? await loadOpenTelemetry() : tracing)
    } catch (cause) {
      throw new TandemError('OPTION_INVALID', 'telemetry.tracing needs the package @opentelemetry/api', { cause })
    }
  }

  /** For a producer, before those of its options; empty when nothing looks on. Await {@link ready} first. */
  sendHooks(): ClientHook[] {
    return this.tracing === undefined ? this.eventHooks() : [this.tracing.hook, ...this.eventHooks()]
  }

  /** For a consumer. @param group what the options say of it */
  eventHooks(group?: ToldGroup): ClientHook[] {
    const isTold = this.options.events === true && this.events !== undefined
    return isTold ? [this.events.hookOf(this.connection, group)] : []
  }

  enqueued<M extends OutgoingMessage>(message: M): M {
    return this.tracing?.enqueued(message) ?? message
  }

  messages(messages: Messages): Messages {
    if (this.tracing === undefined) return messages
    return { send: (message) => messages.send(this.enqueued(message)) }
  }

  /** Runs the work on a batch in a span that is linked with its messages. */
  batch<R>(group: string, messages: () => readonly ConsumedMessage[], work: () => R): R {
    return this.tracing === undefined ? work() : this.tracing.batch(group, messages(), work)
  }

  /** The consumer, known while it is open and with a span around each handler. */
  watch(consumer: PushConsumer, isBroadcasting: boolean): PushConsumer {
    this.consumers.add(consumer)
    if (isBroadcasting) this.broadcasting.add(consumer)
    const close = consumer.close.bind(consumer)
    consumer.close = () => close().finally(() => this.consumers.delete(consumer))
    const subscribe = consumer.subscribe.bind(consumer)
    consumer.subscribe = (topic, filter, handler) => subscribe(topic, filter, this.traced(consumer.group, handler))
    return consumer
  }

  /** A transport may listen before the hooks of the application have run, so the package is waited for here too. */
  private traced(group: string, handler: MessageHandler): MessageHandler {
    const { tracing } = this.options
    if (tracing === undefined || tracing === false) return handler
    let traced: MessageHandler | undefined
    const call: MessageHandler = (message, delivery) => {
      if (this.tracing === undefined) return this.ready().then(() => call(message, delivery))
      traced ??= this.tracing.handler(group, handler)
      return traced(message, delivery)
    }
    return call
  }
}
