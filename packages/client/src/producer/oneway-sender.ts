import { RequestCode } from '@tandemmq/protocol'
import type { Connection } from '@tandemmq/remoting'
import { ClientError, messageOf } from '../client-error.ts'
import type { MessageQueue } from '../cluster/route.ts'
import type { Waiting } from './busy-gate.ts'
import type { SendChannel } from './send-channel.ts'
import type { SendFrame } from './send-frame.ts'

/** Messages that may wait for a broker, a route or a connection; nobody who sends one-way waits for them. */
const WAITING_MAX = 1_000
const WAITING_BYTES_MAX = 8_388_608
/** Output that the broker has not taken: half of what ends a connection. */
const PENDING_BYTES_MAX = 33_554_432

/**
 * One-way sends. They are written at once; those to a broker that asked for a pause stand in the same line as sends that want an
 * answer, and those whose route or connection is not there yet wait for it. When too many wait further ones are refused.
 */
export class OnewaySender {
  readonly #channel: SendChannel
  readonly #whenIdle: () => void
  #waiting = 0
  #waitingBytes = 0
  #isClosed = false

  constructor(channel: SendChannel, whenIdle: () => void) {
    this.#channel = channel
    this.#whenIdle = whenIdle
  }

  /** Messages that wait. */
  get waiting(): number {
    return this.#waiting
  }

  /** @throws {ClientError} SYSTEM_BUSY when it would have to wait and too much waits already */
  send(topic: string, orderBy: string | undefined, frame: SendFrame): void {
    const { core } = this.#channel
    const route = core.routes.find(topic)
    const queue = route && this.#channel.selector.select(route, orderBy)
    const address = queue && route.addressOf(queue.brokerName)
    const connection = address === undefined ? undefined : core.registeredConnection(address)
    const isOpen = queue !== undefined && this.#channel.gate.opensAt(queue.brokerName) === undefined
    if (isOpen && connection !== undefined) return this.write(topic, queue, frame, connection)
    this.#enter(topic, frame)
    const oneway = new Oneway(this, topic, orderBy, frame)
    if (queue === undefined || isOpen) oneway.resume()
    else this.wait(oneway, queue.brokerName)
  }

  /** What waits is given up. */
  close(): void {
    this.#isClosed = true
    if (this.#waiting === 0) return
    this.#channel.core.logger.warn(`${this.#waiting} one-way sends were not sent before the producer closed`)
  }

  /** In the line of the broker, until it may be asked again. */
  wait(oneway: Oneway, brokerName: string): void {
    this.#channel.gate.wait(brokerName, oneway)
  }

  /** @throws {ClientError} SYSTEM_BUSY when the broker does not take what it was sent before */
  write(topic: string, queue: MessageQueue, frame: SendFrame, connection: Connection): void {
    if (connection.pendingBytes + frame.bodyBytes > PENDING_BYTES_MAX) {
      throw new ClientError(
        'SYSTEM_BUSY',
        `one-way send to ${topic}: ${queue.brokerName} does not take what it was sent`,
      )
    }
    frame.queueId = queue.queueId
    this.#channel.template(topic, queue.brokerName, RequestCode.SEND_MESSAGE_V2).writeOneway(connection, frame)
  }

  /** Its route, its queue, the line of that broker and its connection, one after the other. */
  async bring(oneway: Oneway): Promise<void> {
    const { core, selector, gate } = this.#channel
    const { topic, orderBy, frame } = oneway
    const route = core.routes.find(topic) ?? (await core.routes.loadForSend(topic))
    const queue = selector.select(route, orderBy)
    if (queue === undefined) throw new ClientError('ROUTE_NOT_FOUND', `topic ${topic} has no writable queue`)
    if (gate.opensAt(queue.brokerName) !== undefined) return this.wait(oneway, queue.brokerName)
    const address = core.brokerAddress(queue.brokerName)
    // Without a pause where none is needed: who stands behind in the line must not come before.
    const connection = core.registeredConnection(address) ?? (await core.connect(address))
    if (!this.#isClosed) this.write(topic, queue, frame, connection)
    this.leave(frame)
  }

  failed({ topic, frame }: Oneway, error: unknown): void {
    this.leave(frame)
    this.#channel.core.logger.warn(`one-way send to ${topic} failed: ${messageOf(error)}`)
  }

  leave(frame: SendFrame): void {
    this.#waiting--
    this.#waitingBytes -= frame.bodyBytes
    if (this.#waiting === 0) this.#whenIdle()
  }

  #enter(topic: string, frame: SendFrame): void {
    if (this.#waiting >= WAITING_MAX || this.#waitingBytes + frame.bodyBytes > WAITING_BYTES_MAX) {
      throw new ClientError('SYSTEM_BUSY', `one-way send to ${topic}: ${this.#waiting} others wait already`)
    }
    this.#waiting++
    this.#waitingBytes += frame.bodyBytes
  }
}

/** One that waits. */
class Oneway implements Waiting {
  readonly topic: string
  readonly orderBy: string | undefined
  readonly frame: SendFrame
  readonly #sender: OnewaySender

  constructor(sender: OnewaySender, topic: string, orderBy: string | undefined, frame: SendFrame) {
    this.#sender = sender
    this.topic = topic
    this.orderBy = orderBy
    this.frame = frame
  }

  resume(): void {
    this.#sender.bring(this).catch((error: unknown) => this.#sender.failed(this, error))
  }
}
