import { RequestCode } from '@tandemmq/protocol'
import type { HeaderView } from '@tandemmq/protocol'
import type { Connection } from '@tandemmq/remoting'
import { ClientError, messageOf } from '../client-error.ts'
import { searchBrokers } from '../cluster/broker-search.ts'
import { ClientCore } from '../cluster/client-core.ts'
import type { Membership } from '../cluster/heartbeat.ts'
import type { HookList, Sending } from '../hooks/hook-list.ts'
import type { Observation } from '../hooks/observation.ts'
import { observationOf } from '../hooks/observation.ts'
import type { TraceStats } from '../hooks/trace-dispatcher.ts'
import type { Compression } from '../message/compression.ts'
import { COMPRESSED_SYS_FLAG, compressedBody, compressionOf } from '../message/compression.ts'
import type { ExtraProperties, OutgoingMessage, WireBody } from '../message/message.ts'
import { BODY_BYTES_MAX, checkedLength, jsonSpelling, spellProperties, wireBody } from '../message/message.ts'
import type { Finish, SendReceipt } from '../message/send-receipt.ts'
import { receiptOf } from '../message/send-receipt.ts'
import { checkGroup, checkTopic, positive, settingsOf, uniqueIds } from '../options.ts'
import { AttemptWatch } from './attempt-watch.ts'
import { BusyGate } from './busy-gate.ts'
import { InFlight } from './in-flight.ts'
import { OnewaySender } from './oneway-sender.ts'
import type { ProducerOptions, SendOptions } from './producer-options.ts'
import { QueueSelector } from './queue-selector.ts'
import type { SendChannel } from './send-channel.ts'
import { SendTemplate } from './send-frame.ts'
import type { SendFrame } from './send-frame.ts'
import { SendTask } from './send-task.ts'

/** What every kind of producer shares: start, close, and the way of one message to its queue. */
export abstract class ProducerBase {
  readonly group: string
  readonly clientId: string
  protected readonly core: ClientCore
  protected readonly sendTimeoutMs: number
  protected readonly bodyBytesMax: number
  protected readonly hooks: HookList | undefined
  readonly #observation: Observation
  readonly #compression: Compression
  readonly #retriesMax: number
  readonly #ids: ReturnType<typeof uniqueIds>
  readonly #templates = new Map<string, SendTemplate>()
  #lastTemplate: SendTemplate | undefined
  readonly #channel: SendChannel
  readonly #oneways: OnewaySender
  readonly #checkedTopics = new Set<string>()
  #whenIdle: (() => void) | undefined
  #isClosing = false
  #closed: Promise<void> | undefined

  constructor(options: ProducerOptions) {
    this.group = checkGroup(options.group)
    const settings = settingsOf(options)
    this.clientId = settings.clientId
    this.sendTimeoutMs = positive('sendTimeoutMs', options.sendTimeoutMs ?? 3_000)
    this.bodyBytesMax = positive('bodyBytesMax', options.bodyBytesMax ?? BODY_BYTES_MAX)
    this.#compression = compressionOf(options)
    this.#retriesMax = positive('retriesMax', options.retriesMax ?? 2, 0)
    this.#ids = uniqueIds(settings.clock)
    this.core = new ClientCore(settings, {
      membership: () => this.membership(),
      onRequest: (connection, header) => this.onRequest(connection, header),
    })
    this.#observation = observationOf(this.core, this.group, options)
    this.hooks = this.#observation.hooks
    this.#channel = {
      core: this.core,
      isWatched: this.hooks !== undefined,
      selector: new QueueSelector(settings.clock),
      gate: new BusyGate(settings.clock),
      watch: new AttemptWatch(settings.clock, () => this.#channel.inFlight.all()),
      attemptMsMax: positive('attemptTimeoutMs', options.attemptTimeoutMs ?? settings.requestTimeoutMs),
      template: (topic, brokerName, code) => this.#template(topic, brokerName, code),
      inFlight: new InFlight(() => this.#lookIdle()),
    }
    this.#oneways = new OnewaySender(this.#channel, () => this.#lookIdle())
    this.core.routes.onChange = () => this.#registerEverywhere()
  }

  /**
   * Looks for the brokers and registers the group with them. A cluster that cannot be reached is not an error: the
   * search goes on in the background and sends fail until then.
   */
  async start(): Promise<void> {
    if (this.core.isStarted) return
    this.core.start()
    await searchBrokers(this.core, `producer ${this.group}`)
  }

  /** Refuses new sends, waits for those under way up to `drainTimeoutMs`, leaves the group. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** A connection to a broker is open on which this group is registered. */
  get isConnected(): boolean {
    return this.core.isConnected
  }

  /** Sends under way. */
  get inFlight(): number {
    return this.#channel.inFlight.size
  }

  /** Trace records sent and dropped; undefined without option `trace`. */
  get traces(): TraceStats | undefined {
    return this.#observation.trace?.stats
  }

  protected membership(): Membership {
    return { producers: [this.group], consumers: [] }
  }

  /** Requests of the broker; a subclass answers those it knows. */
  protected onRequest(_connection: Connection, _header: HeaderView): boolean {
    return false
  }

  protected nextMessageId(): string {
    return this.#ids.next(this.core.clock.now())
  }

  protected checkTopic(topic: string): void {
    if (this.#checkedTopics.has(topic)) return
    checkTopic(topic)
    // Bounded, because topic names may be made up by the application.
    if (this.#checkedTopics.size >= 10_000) this.#checkedTopics.clear()
    this.#checkedTopics.add(topic)
  }

  /** @throws {ClientError} NOT_STARTED, CLOSED */
  protected requireOpen(): void {
    if (this.#isClosing) throw new ClientError('CLOSED', `producer ${this.group} is closed`)
    this.core.requireStarted()
  }

  /** The frame of one message; its queue is chosen later. @throws {ClientError} MESSAGE_ILLEGAL, MESSAGE_TOO_LARGE */
  protected frameOf(message: OutgoingMessage, messageId: string, extra?: ExtraProperties): SendFrame {
    this.checkTopic(message.topic)
    let body: WireBody = wireBody(message.body)
    let bodyBytes = checkedLength(body, this.bodyBytesMax)
    let sysFlag = 0
    if (bodyBytes >= this.#compression.overBytes) {
      const packed = compressedBody(body, this.#compression.level)
      if (packed !== undefined) {
        body = packed
        bodyBytes = packed.length
        sysFlag = COMPRESSED_SYS_FLAG
      }
    }
    return {
      messageId,
      queueId: 0,
      sysFlag,
      flag: message.flag ?? 0,
      bornTimestamp: Math.floor(this.core.clock.now()),
      properties: spellProperties(message, messageId, jsonSpelling, extra),
      body,
      bodyBytes,
    }
  }

  /** Sends one frame; `finish` makes the caller's value of the answer. */
  protected dispatch<T>(
    message: { topic: string; orderBy?: string | undefined },
    frame: SendFrame,
    options: SendOptions | undefined,
    finish: Finish<T>,
    code: number = RequestCode.SEND_MESSAGE_V2,
    sending?: Sending,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const task = new SendTask(
        this.#channel,
        message.topic,
        code,
        frame,
        message.orderBy,
        options?.timeoutMs ?? this.sendTimeoutMs,
        options?.retriesMax ?? this.#retriesMax,
        finish,
        resolve as (value: unknown) => void,
        reject,
        sending,
      )
      const signal = options?.signal
      if (signal === undefined || abortOn(signal, task)) task.start()
    })
  }

  /** @param begun the hooks have seen the message already */
  protected sendOne(message: OutgoingMessage, options?: SendOptions, begun?: Sending): Promise<SendReceipt> {
    const { hooks } = this
    const messageId = message.messageId ?? this.nextMessageId()
    try {
      this.requireOpen()
      if (hooks === undefined) return this.#sendFrame(message, messageId, options)
      const sending = begun ?? hooks.beforeSend(this.group, 'normal', messageId, message)
      return hooks.watch(sending, () => this.#sendFrame(sending.message, messageId, options, sending))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  #sendFrame(
    message: OutgoingMessage,
    messageId: string,
    options: SendOptions | undefined,
    sending?: Sending,
  ): Promise<SendReceipt> {
    return this.dispatch(
      message,
      this.frameOf(message, messageId),
      options,
      receiptOf,
      RequestCode.SEND_MESSAGE_V2,
      sending,
    )
  }

  /** Once, unanswered. @throws {ClientError} SYSTEM_BUSY, see `OnewaySender` */
  protected sendUnanswered(message: OutgoingMessage): void {
    this.requireOpen()
    const { hooks } = this
    const messageId = message.messageId ?? this.nextMessageId()
    if (hooks === undefined) return this.#writeOneway(message, messageId)
    const sending = hooks.beforeSend(this.group, 'oneway', messageId, message)
    hooks.watchNow(sending, () => this.#writeOneway(sending.message, messageId))
  }

  #writeOneway(message: OutgoingMessage, messageId: string): void {
    this.#oneways.send(message.topic, message.orderBy, this.frameOf(message, messageId))
  }

  #template(topic: string, brokerName: string, code: number): SendTemplate {
    const last = this.#lastTemplate
    if (last !== undefined && last.serves(topic, brokerName, code)) return last
    const key = `${topic} ${brokerName} ${code}`
    let template = this.#templates.get(key)
    if (template === undefined) {
      template = new SendTemplate(this.group, topic, brokerName, code)
      if (this.#templates.size >= 10_000) this.#templates.clear()
      this.#templates.set(key, template)
    }
    this.#lastTemplate = template
    return template
  }

  /** A broker that appeared must know us, or it could not ask back or push answers. */
  #registerEverywhere(): void {
    if (!this.core.isStarted) return
    for (const address of this.core.brokerAddresses()) {
      if (this.core.registeredConnection(address) !== undefined) continue
      this.core
        .connect(address)
        .catch((error: unknown) => this.core.logger.debug(`broker ${address} not reached yet: ${messageOf(error)}`))
    }
  }

  #lookIdle(): void {
    if (this.inFlight + this.#oneways.waiting === 0) this.#whenIdle?.()
  }

  async #close(): Promise<void> {
    this.#isClosing = true
    const { core } = this
    if (this.inFlight + this.#oneways.waiting > 0) {
      await new Promise<void>((resolve) => {
        const timer = core.clock.setTimer(core.settings.drainTimeoutMs, resolve)
        this.#whenIdle = () => {
          timer.cancel()
          resolve()
        }
      })
    }
    for (const task of this.#channel.inFlight.all()) {
      task.fail(new ClientError('CLOSED', `producer ${this.group} was closed while sending to ${task.topic}`))
    }
    this.#oneways.close()
    this.#channel.watch.stop()
    await this.hooks?.idle()
    await this.#observation.trace?.close(core.settings.drainTimeoutMs)
    await core.close()
  }
}

/** @returns false when it was aborted already */
function abortOn(signal: AbortSignal, task: SendTask): boolean {
  const abort = (): void => task.fail(new ClientError('ABORTED', `send to ${task.topic}`, { cause: signal.reason }))
  if (signal.aborted) {
    abort()
    return false
  }
  signal.addEventListener('abort', abort, { once: true })
  task.onEnd = () => signal.removeEventListener('abort', abort)
  return true
}
