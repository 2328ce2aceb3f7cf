import { Logger } from '@nestjs/common'
import { ClientProxy } from '@nestjs/microservices'
import type { ProducerDeserializer, ProducerSerializer, ReadPacket, WritePacket } from '@nestjs/microservices'
import { TandemError } from '@tandemmq/client'
import type { OutgoingMessage, Producer, ReplyMessage } from '@tandemmq/client'
import { Observable } from 'rxjs'
import { TandemConnection } from '../connection/tandem-connection.ts'
import { valueOf } from '../listeners/payload.ts'
import { isReplyPacket, PACKETS, REPLY_FORMAT } from './rpc-packets.ts'
import { TandemRecord } from './tandem-record.ts'
import type { TransportConnection } from './tandem-server.ts'

export type TandemClientOptions = TransportConnection & {
  /** How long `send` waits for the reply, ms. Default 3000. */
  requestTimeoutMs?: number
  /** `serialize(packet)` returns a packet whose `data` is the body, now or later. Default: the data as JSON, bytes as they are. */
  serializer?: ProducerSerializer
  /** Gets `{ response, isDisposed }` or `{ err }` of a reply and returns it changed, now or later. Default: as it is. */
  deserializer?: ProducerDeserializer
}

/** `connected` once the producer runs (it finds its brokers by itself, again after each failure), `disconnected` before and after. */
export type TandemClientStatus = 'connected' | 'disconnected'

/** Nest 12 lets instrumentation add `metadata` to packets. */
type Packet = ReadPacket & { metadata?: Record<string, string> }

/**
 * Nest's client for what {@link TandemServer} and any other RocketMQ consumer listens to:
 * `ClientsModule.register([{ name: 'STOCK', customClass: TandemClient, options: { nameServers, group } }])`. The pattern is the topic,
 * or `topic:tag`; a {@link TandemRecord} as data adds keys, order, delay and user properties.
 *
 * `emit` sends an event and yields its receipt, `send` a request and yields what the handler emitted. Both connect when first
 * used; a failed attempt is forgotten. `emit` is hot: an error nobody subscribed to is logged.
 */
export class TandemClient extends ClientProxy<Record<never, () => void>, string> {
  private readonly options: TandemClientOptions
  private readonly log = new Logger('TandemClient')
  private own: TandemConnection | undefined

  constructor(options: TandemClientOptions) {
    super()
    this.options = options
    this.initializeSerializer(options as never)
    this._status$.next('disconnected')
  }

  // The base keeps `string`, or Nest's `customClass` would not take the class: its status type is invariant.
  override get status(): Observable<TandemClientStatus> {
    return super.status as Observable<TandemClientStatus>
  }

  /** Starts the producer, once for all who wait. @throws {TandemError} what the start failed with; the next call tries again */
  override async connect(): Promise<Producer> {
    const producer = await this.connection().producer()
    this._status$.next('connected')
    return producer
  }

  /** Fails every request still waiting, with CLOSED, and closes a producer of its own. May be used again afterwards. */
  override async close(): Promise<void> {
    const waiting = [...this.routingMap.values()]
    this.routingMap.clear()
    for (const callback of waiting)
      callback({ err: new TandemError('CLOSED', 'the client was closed while it waited') })
    const { own } = this
    this.own = undefined
    this._status$.next('disconnected')
    await own?.onApplicationShutdown()
  }

  /** The {@link Producer}, wrapped in a promise because it starts on first use. */
  override unwrap<T = Promise<Producer>>(): T {
    return this.connection().producer() as T
  }

  override emit<TResult = unknown, TInput = unknown>(pattern: unknown, data: TInput): Observable<TResult> {
    const sent = super.emit<TResult, TInput>(pattern, data)
    let isObserved = false
    sent.subscribe({
      error: (error: unknown) => {
        // The caller subscribes, if at all, in the turn it got the Observable.
        queueMicrotask(() => {
          if (!isObserved) this.log.error(`event ${topicText(pattern)} was not sent: ${textOf(error)}`, error)
        })
      },
    })
    return new Observable((subscriber) => {
      isObserved = true
      return sent.subscribe(subscriber)
    })
  }

  protected override async dispatchEvent<T>(packet: ReadPacket): Promise<T> {
    const message = await this.messageOf(packet)
    return (await (await this.connect()).send(message)) as T
  }

  protected override publish(packet: ReadPacket, callback: (packet: WritePacket) => void): () => void {
    const { id } = this.assignPacketId(packet)
    const abort = new AbortController()
    this.routingMap.set(id, callback)
    const settle = (tell: () => void): void => {
      if (this.routingMap.delete(id)) tell()
    }
    this.request(packet, abort.signal).then(
      (packets) => settle(() => packets.forEach((one) => callback(one))),
      (err: unknown) => settle(() => callback({ err })),
    )
    return () => {
      if (this.routingMap.delete(id)) abort.abort()
    }
  }

  private async request(packet: ReadPacket, signal: AbortSignal): Promise<WritePacket[]> {
    const message = await this.messageOf(packet)
    const producer = await this.connect()
    const asked = { ...message, properties: { ...message.properties, [REPLY_FORMAT]: PACKETS } }
    const packets = packetsOf(await producer.request(asked, { timeoutMs: this.options.requestTimeoutMs, signal }))
    const { deserializer } = this.options
    if (deserializer === undefined) return packets
    return Promise.all(packets.map(async (one) => deserializer.deserialize(one, { topic: message.topic })))
  }

  private async messageOf(packet: Packet): Promise<OutgoingMessage> {
    const { topic, tag } = destinationOf(packet.pattern)
    const record = packet.data instanceof TandemRecord ? packet.data : new TandemRecord(packet.data)
    const { data } = await this.serializer.serialize({ ...packet, data: record.data })
    const properties = { ...packet.metadata, ...record.fields.properties }
    return { topic, body: data, ...(tag === undefined ? {} : { tag }), ...record.fields, properties }
  }

  private connection(): TandemConnection {
    if ('connection' in this.options) return this.options.connection
    this.own ??= new TandemConnection(this.options, {})
    return this.own
  }
}

function packetsOf(reply: ReplyMessage): WritePacket[] {
  const value = valueOf(reply.text())
  // Somebody else's reply is the plain value.
  if (!isReplyPacket(value)) return [{ response: value, isDisposed: true }]
  const responses = value.responses.map((response): WritePacket => ({ response, isDisposed: false }))
  return [...responses, value.err === undefined ? { isDisposed: true } : { err: value.err, isDisposed: true }]
}

/** @throws {TandemError} MESSAGE_ILLEGAL for a pattern that is no text */
function destinationOf(pattern: unknown): { topic: string; tag: string | undefined } {
  if (typeof pattern !== 'string' || pattern === '') {
    throw new TandemError('MESSAGE_ILLEGAL', `pattern ${JSON.stringify(pattern)} is neither "topic" nor "topic:tag"`)
  }
  const [topic = '', tag] = pattern.split(':', 2)
  return { topic, tag }
}

function topicText(pattern: unknown): string {
  return typeof pattern === 'string' ? pattern : (JSON.stringify(pattern) ?? String(pattern))
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
