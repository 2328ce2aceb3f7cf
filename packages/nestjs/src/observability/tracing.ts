import { ReconsumeLater } from '@tandemmq/client'
import type { ClientHook, ConsumedMessage, MessageHandler, OutgoingMessage, SendEvent } from '@tandemmq/client'

/** What is used of `@opentelemetry/api`, by its shape: the package is not needed to compile against this one. */
export interface OpenTelemetry {
  readonly ROOT_CONTEXT: unknown
  readonly context: { active(): unknown; with<R>(context: unknown, work: () => R): R }
  readonly propagation: {
    inject(context: unknown, carrier: Record<string, string>): void
    extract(context: unknown, carrier: Readonly<Record<string, string>>): unknown
  }
  readonly trace: {
    getTracer(name: string): Tracer
    setSpan(context: unknown, span: unknown): unknown
    getSpanContext(context: unknown): unknown
  }
}

interface Tracer {
  startSpan(name: string, options: object, context: unknown): Span
}

interface Span {
  setAttribute(name: string, value: string | number): unknown
  recordException(error: Error): void
  setStatus(status: { code: number; message?: string }): unknown
  end(): void
}

// SpanKind and SpanStatusCode of OpenTelemetry.
const PRODUCER = 3
const CONSUMER = 4
const ERROR = 2

const PACKAGE = '@opentelemetry/api'

/** @throws whatever the import fails with when the package is not installed */
export async function loadOpenTelemetry(): Promise<OpenTelemetry> {
  // The name in a variable keeps compilers and bundlers from asking for a package that few have.
  const found = (await import(PACKAGE)) as OpenTelemetry & { default?: OpenTelemetry }
  return found.trace === undefined && found.default !== undefined ? found.default : found
}

/**
 * Spans for what is sent and handled, in one trace: the context (W3C traceparent and tracestate, or what the application's
 * propagator writes) travels in user properties. A message of a transaction gets it where it is enqueued, so that it is the
 * same whichever way the message takes to the broker.
 * @see OpenTelemetry's semantic conventions for messaging: span names, `messaging.*`
 */
export class Tracing {
  private readonly api: OpenTelemetry
  private readonly tracer: Tracer
  private readonly sends = new WeakMap<SendEvent, Span>()

  constructor(api: OpenTelemetry) {
    this.api = api
    this.tracer = api.trace.getTracer('@tandemmq/nestjs')
  }

  /** For producers. */
  readonly hook: ClientHook = {
    beforeSend: (event) => {
      const { message, kind, messageId, bodyBytes } = event
      const span = this.startSend(kind === 'reply' ? 'reply' : 'send', message, message.properties)
      span.setAttribute('messaging.message.id', messageId)
      span.setAttribute('messaging.message.body.size', bodyBytes)
      this.sends.set(event, span)
    },
    afterSend: (event) => {
      const span = this.sends.get(event)
      if (span === undefined) return
      if (event.error !== undefined) fail(span, event.error)
      span.end()
    },
  }

  /** The message of a transaction with the context of who enqueues it. */
  enqueued<M extends OutgoingMessage>(message: M): M {
    const properties = { ...message.properties }
    this.startSend('enqueue', message, properties).end()
    return { ...message, properties }
  }

  /** The handler with a span around each call; what it sends belongs to that span. */
  handler(group: string, handler: MessageHandler): MessageHandler {
    return (message, delivery) => {
      // Not the active context: a connection may have been made in that of some request long ago.
      const parent = this.api.propagation.extract(this.api.ROOT_CONTEXT, message.properties)
      const span = this.startProcess(group, message, parent)
      return this.inside(span, parent, () => handler(message, delivery))
    }
  }

  /** One span for many messages, linked with each of them: a batch has no single parent. */
  batch<R>(group: string, messages: readonly ConsumedMessage[], work: () => R): R {
    const links = messages.flatMap(({ properties }) => {
      const context = this.api.trace.getSpanContext(this.api.propagation.extract(this.api.ROOT_CONTEXT, properties))
      return context === undefined ? [] : [{ context }]
    })
    const attributes = { ...common('process', messages[0]?.topic ?? ''), 'messaging.consumer.group.name': group }
    const count = { 'messaging.batch.message_count': messages.length }
    const options = { kind: CONSUMER, links, attributes: { ...attributes, ...count } }
    const span = this.tracer.startSpan(`process ${messages[0]?.topic ?? ''}`, options, this.api.ROOT_CONTEXT)
    return this.inside(span, this.api.ROOT_CONTEXT, work)
  }

  private startSend(operation: string, message: OutgoingMessage, carrier: Record<string, string>): Span {
    const { topic, tag } = message
    const active = this.api.context.active()
    const tagged = tag === undefined || tag === '' ? {} : { 'messaging.rocketmq.message.tag': tag }
    const attributes = { ...common(operation, topic), ...tagged }
    const span = this.tracer.startSpan(`${operation} ${topic}`, { kind: PRODUCER, attributes }, active)
    this.api.propagation.inject(this.api.trace.setSpan(active, span), carrier)
    return span
  }

  private startProcess(group: string, message: ConsumedMessage, parent: unknown): Span {
    const attributes = {
      ...common('process', message.topic),
      'messaging.consumer.group.name': group,
      'messaging.message.id': message.messageId,
      'messaging.message.body.size': message.body.length,
      'messaging.rocketmq.message.tag': message.tag,
      'messaging.tandem.attempt': message.attempt,
    }
    return this.tracer.startSpan(`process ${message.topic}`, { kind: CONSUMER, attributes }, parent)
  }

  private inside<R>(span: Span, parent: unknown, work: () => R): R {
    let result: R
    try {
      result = this.api.context.with(this.api.trace.setSpan(parent, span), work)
    } catch (error) {
      fail(span, error)
      span.end()
      throw error
    }
    if (!isThenable(result)) {
      span.end()
      return result
    }
    result.then(
      () => span.end(),
      (error: unknown) => {
        fail(span, error)
        span.end()
      },
    )
    return result
  }
}

function common(operation: string, topic: string): Record<string, string | number> {
  const type = operation === 'process' ? 'process' : 'send'
  return {
    'messaging.system': 'rocketmq',
    'messaging.destination.name': topic,
    'messaging.operation.name': operation,
    'messaging.operation.type': type,
  }
}

function fail(span: Span, error: unknown): void {
  // Asked for by the listener: the message is late, nothing is broken.
  if (error instanceof ReconsumeLater) {
    span.setAttribute('messaging.tandem.outcome', 'reconsumeLater')
    return
  }
  const reported = error instanceof Error ? error : new Error(String(error))
  span.recordException(reported)
  span.setStatus({ code: ERROR, message: reported.message })
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}
