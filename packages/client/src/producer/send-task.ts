import type { HeaderView } from '@tandemmq/protocol'
import { fieldName, RequestCode } from '@tandemmq/protocol'
import type { Connection, ReplyHandler } from '@tandemmq/remoting'
import { sleep } from '@tandemmq/remoting'
import { ClientError, errorOfAnswer, toClientError } from '../client-error.ts'
import { isQueueRefused } from '../cluster/route-doubts.ts'
import type { MessageQueue, TopicRoute } from '../cluster/route.ts'
import type { Sending } from '../hooks/hook-list.ts'
import type { Finish, SendAnswer } from '../message/send-receipt.ts'
import { sendAnswerOf } from '../message/send-receipt.ts'
import type { Watched } from './attempt-watch.ts'
import { attemptMs } from './attempt-watch.ts'
import type { Waiting } from './busy-gate.ts'
import type { Placed } from './in-flight.ts'
import type { SendChannel } from './send-channel.ts'
import { elsewhereCodes, faultCodes } from './send-failures.ts'
import type { SendFrame } from './send-frame.ts'

const SUCCESS = 0
const retryAfterField = fieldName('retryAfterMs')
/** Stored, but flush or replication was slow (FLUSH_DISK_TIMEOUT, SLAVE_NOT_AVAILABLE, FLUSH_SLAVE_TIMEOUT). */
const isStored = (code: number): boolean => code === SUCCESS || (code >= 10 && code <= 12)
/** Output that the broker has not taken. Above, sends wait in line: a connection with four times as much waiting is ended. */
const OUTPUT_BYTES_HIGH = 16_777_216
const OUTPUT_PAUSE_MS = 50
// A broker that restarts is back within about a second.
const PAUSES_MS = [0, 100, 1_000]
/** An attempt after the first, which is the task's own so that a send that goes well costs no object more. */
class Repeat implements ReplyHandler {
  readonly #task: SendTask
  readonly #attempt: number
  readonly #brokerName: string

  constructor(task: SendTask, attempt: number, brokerName: string) {
    this.#task = task
    this.#attempt = attempt
    this.#brokerName = brokerName
  }

  onReply(header: HeaderView): void {
    this.#task.answered(header, this.#attempt, this.#brokerName)
  }

  onFailure(error: Error): void {
    this.#task.unanswered(error, this.#attempt)
  }
}

/**
 * One message on its way: attempts, retries, and the promise of the caller. When the first attempt may have been stored the second
 * goes to the same queue, because that broker is the one that can recognise its unique key; later ones, and all after a sure
 * failure, go to another broker if the topic has one. An attempt that is slow is repeated and still listened to: the first answer
 * that tells of a stored message counts, whichever attempt it belongs to.
 */
export class SendTask implements Placed, ReplyHandler, Waiting, Watched {
  readonly topic: string
  place = -1
  attemptUntil = Number.POSITIVE_INFINITY
  turn = 0
  /** Called once, when the caller is about to be answered. */
  onEnd: (() => void) | undefined
  readonly #channel: SendChannel
  readonly #frame: SendFrame
  readonly #code: number
  readonly #orderBy: string | undefined
  readonly #deadline: number
  readonly #retriesMax: number
  readonly #finish: Finish<unknown>
  readonly #resolve: (value: unknown) => void
  readonly #reject: (error: ClientError) => void
  /** Hooks look on. */
  readonly #sending: Sending | undefined
  #queue: MessageQueue | undefined
  #attempt = 0
  #firstBroker = ''
  /** The next attempt chooses again. */
  #isLeaving = false
  #isDone = false
  #hasLooked = false
  #waking: AbortController | undefined

  constructor(
    channel: SendChannel,
    topic: string,
    code: number,
    frame: SendFrame,
    orderBy: string | undefined,
    timeoutMs: number,
    retriesMax: number,
    finish: Finish<unknown>,
    resolve: (value: unknown) => void,
    reject: (error: ClientError) => void,
    sending: Sending | undefined,
  ) {
    this.topic = topic
    this.#channel = channel
    this.#frame = frame
    this.#code = code
    this.#orderBy = orderBy
    this.#deadline = channel.core.clock.monotonic() + timeoutMs
    this.#retriesMax = retriesMax
    this.#finish = finish
    this.#resolve = resolve
    this.#sending = sending
    this.#reject = reject
    channel.inFlight.add(this)
  }

  start(): void {
    const { core } = this.#channel
    const route = core.routes.find(this.topic)
    if (route !== undefined) this.#sendBy(route)
    else
      core.routes.loadForSend(this.topic).then(
        (loaded) => this.#sendBy(loaded),
        (error: unknown) => this.#failed(toClientError(error, `send to ${this.topic}`)),
      )
  }

  /** Ends it now; a later answer is ignored. */
  fail(error: ClientError): void {
    if (!this.#end()) return
    this.#reject(error)
  }

  onReply(header: HeaderView): void {
    this.answered(header, 0, this.#firstBroker)
  }

  onFailure(error: Error): void {
    this.unanswered(error, 0)
  }

  answered(header: HeaderView, attempt: number, brokerName: string): void {
    if (!isStored(header.code)) {
      // A later attempt is under way, and its answer is the newer one.
      if (attempt !== this.#attempt) return
      const at = header.find(retryAfterField)
      const retryAfter = at < 0 ? undefined : header.text(at)
      this.#failed(errorOfAnswer(header.code, header.remark(), `send to ${this.topic}`, retryAfter))
      return
    }
    let answer: SendAnswer
    try {
      answer = sendAnswerOf(header, this.#code === RequestCode.SEND_BATCH_MESSAGE, this.#channel.isWatched)
    } catch (error) {
      if (attempt === this.#attempt) this.#failed(toClientError(error, `answer of a send to ${this.topic}`))
      return
    }
    this.#channel.selector.faults.succeeded(brokerName)
    this.#channel.watch.answered(this.turn)
    if (this.#end()) this.#stored(answer, brokerName)
  }

  #stored(answer: SendAnswer, brokerName: string): void {
    this.#sending?.stored(answer, brokerName)
    try {
      this.#resolve(this.#finish(answer, brokerName, this.topic, this.#frame.messageId))
    } catch (error) {
      this.#reject(toClientError(error, `receipt of a send to ${this.topic}`))
    }
  }

  unanswered(error: Error, attempt: number): void {
    if (attempt === this.#attempt) this.#failed(toClientError(error, `send to ${this.topic}`))
  }

  slow(): void {
    this.#failed(new ClientError('REQUEST_TIMEOUT', `send to ${this.topic}: no answer yet`), true)
  }

  #sendBy(route: TopicRoute): void {
    if (this.#isDone) return
    const { core, selector } = this.#channel
    if (this.#queue === undefined || this.#isLeaving) {
      this.#queue = selector.select(route, this.#orderBy, this.#queue?.brokerName)
    }
    const queue = this.#queue
    const address = queue === undefined ? undefined : route.addressOf(queue.brokerName)
    if (queue === undefined || address === undefined) {
      if (queue !== undefined) selector.faults.failed(queue.brokerName)
      core.routes.forget(this.topic)
      this.#failed(new ClientError('ROUTE_NOT_FOUND', `topic ${this.topic} has no writable queue`))
      return
    }
    if (this.#channel.gate.opensAt(queue.brokerName) !== undefined) return this.#awaitGate(queue.brokerName)
    const connection = core.registeredConnection(address)
    if (connection !== undefined) this.#sendOn(connection, queue)
    else
      core.connect(address).then(
        (opened) => this.#sendOn(opened, queue),
        (error: unknown) => this.#failed(toClientError(error, `send to ${this.topic}`)),
      )
  }

  /** The broker may be asked again. */
  resume(): void {
    if (!this.#isDone) this.start()
  }

  #awaitGate(brokerName: string, error?: ClientError): void {
    const opensAt = this.#channel.gate.opensAt(brokerName) ?? 0
    if (opensAt < this.#deadline) return this.#channel.gate.wait(brokerName, this)
    this.fail(
      error ?? new ClientError('SYSTEM_BUSY', `send to ${this.topic}: ${brokerName} is busy for longer than that`),
    )
  }

  #sendOn(connection: Connection, queue: MessageQueue): void {
    if (this.#isDone) return
    const now = this.#channel.core.clock.monotonic()
    const remaining = this.#deadline - now
    if (remaining <= 0) return this.fail(new ClientError('REQUEST_TIMEOUT', `send to ${this.topic}: no time left`))
    if (connection.pendingBytes > OUTPUT_BYTES_HIGH) {
      this.#channel.gate.close(queue.brokerName, OUTPUT_PAUSE_MS)
      return this.#awaitGate(queue.brokerName)
    }
    const { watch, attemptMsMax } = this.#channel
    const patienceMs = attemptMs(remaining, this.#retriesMax - this.#attempt, attemptMsMax)
    if (patienceMs < remaining) watch.expect((this.attemptUntil = now + patienceMs))
    this.turn = watch.nextTurn()
    const isFirst = this.#attempt === 0
    if (isFirst) this.#firstBroker = queue.brokerName
    const reply = isFirst ? this : new Repeat(this, this.#attempt, queue.brokerName)
    this.#frame.queueId = queue.queueId
    this.#channel.template(this.topic, queue.brokerName, this.#code).write(connection, this.#frame, remaining, reply)
  }

  /** @param isSlow the attempt may still be answered, and has used up its pause by waiting */
  #failed(error: ClientError, isSlow = false): void {
    this.attemptUntil = Number.POSITIVE_INFINITY
    if (this.#isDone) return
    const { core, selector } = this.#channel
    const brokerName = this.#queue?.brokerName
    if (brokerName !== undefined && faultCodes.has(error.code)) selector.faults.failed(brokerName)
    const isSure = elsewhereCodes.has(error.code)
    const hasOther = this.#hasOther(brokerName)
    if (error.code === 'TOPIC_NOT_EXIST') core.routes.forget(this.topic)
    if (!this.#hasLooked && isQueueRefused(error)) return this.#lookForQueue(error)
    if (brokerName !== undefined && error.retryAfterMs !== undefined) {
      this.#channel.gate.close(brokerName, error.retryAfterMs)
      // Tries the broker asked for are no failures; how many there are is bounded by the time of the send.
      if (!hasOther && this.#retriesMax > 0) return this.#awaitGate(brokerName, error)
    }
    const attempt = this.#attempt + 1
    this.#isLeaving = (isSure && hasOther) || attempt > 1
    const isElsewhere = this.#isLeaving && hasOther
    const pauseMs = isElsewhere || isSlow ? 0 : (PAUSES_MS[Math.min(attempt, PAUSES_MS.length - 1)] ?? 0)
    const isHopeful = error.retryable || (isSure && hasOther)
    if (!isHopeful || attempt > this.#retriesMax || core.clock.monotonic() + pauseMs >= this.#deadline) {
      this.fail(error)
      return
    }
    this.#attempt = attempt
    this.#waking = new AbortController()
    sleep(core.clock, pauseMs, this.#waking.signal).then(
      () => this.start(),
      // Aborted: fail() has answered the caller.
      () => undefined,
    )
  }

  /** The topic may have fewer queues than we know of. Another one is chosen then, which is no repeat. */
  #lookForQueue(error: ClientError): void {
    const { queueId, brokerName } = this.#queue ?? { queueId: -1, brokerName: '' }
    this.#hasLooked = true
    this.#channel.core.doubts.current(this.topic).then(
      (route) => {
        if (route.writeQueues.some((one) => one.queueId === queueId && one.brokerName === brokerName)) this.fail(error)
        this.#queue = undefined
        this.#sendBy(route)
      },
      () => this.fail(error),
    )
  }

  /** Is there a broker beside `brokerName` that this message may go to? An ordered one stays with its queue. */
  #hasOther(brokerName: string | undefined): boolean {
    if (brokerName === undefined || this.#orderBy !== undefined) return false
    const queues = this.#channel.core.routes.find(this.topic)?.writeQueues ?? []
    return queues.some((queue) => queue.brokerName !== brokerName)
  }

  #end(): boolean {
    if (this.#isDone) return false
    this.#isDone = true
    this.#channel.inFlight.delete(this)
    this.#waking?.abort()
    this.onEnd?.()
    return true
  }
}
