import { errorTable, type HeaderView, ResponseCode, TandemError } from '@tandemmq/protocol'
import type { Clock, Connection } from '@tandemmq/remoting'
import type { ConsumeQueue } from '../../store/index.ts'
import type { MessageFilter } from '../subscription.ts'
import type { LeaseQueue } from './lease-queue.ts'
import { LeaseBatch } from './lease-batch.ts'
import type { LeaseReader } from './lease-reader.ts'
import type { LeaseTable } from './lease-table.ts'
import { notificationAnswer, peekAnswer, popAnswer } from './pop-answer.ts'
import type { PopAdmission, PopRequest } from './pop-request.ts'
import { PopWaits, type WaitingPop } from './pop-waits.ts'
import { ORDERED_REVIVE_QUEUE } from './receipt.ts'
import type { RetryTopics } from './retry-topics.ts'

/** For a filter that has not looked through everything yet, though the client does not want to wait. */
const FILTER_MS_MAX = 10_000

/**
 * POP_MESSAGE, PEEK_MESSAGE and NOTIFICATION: any number of consumers share a queue, each message is leased to one of them
 * (broker.md 6). An answer leaves when its leases are in the journal's file.
 */
export class PopService {
  readonly #clock: Clock
  readonly #admission: PopAdmission
  readonly #reader: LeaseReader
  readonly #table: LeaseTable
  readonly #retryTopics: RetryTopics
  readonly #waits: PopWaits
  #again = new Set<WaitingPop>()

  constructor(options: {
    clock: Clock
    admission: PopAdmission
    reader: LeaseReader
    table: LeaseTable
    retryTopics: RetryTopics
  }) {
    this.#clock = options.clock
    this.#admission = options.admission
    this.#reader = options.reader
    this.#table = options.table
    this.#retryTopics = options.retryTopics
    this.#waits = new PopWaits(options.clock, (waiting) => this.#onDeadline(waiting))
  }

  /** @throws what {@link PopAdmission.requestOf} throws; BrokerError SYSTEM_BUSY; StoreError */
  pop(connection: Connection, header: HeaderView): void {
    if (header.isOneway) return
    const request = this.#admission.requestOf('pop', connection, header)
    this.#supersede(request)
    if (request.isLate) return this.#timeOut(request, this.#nothing(request))
    const batch = this.#reader.take(request)
    if (batch.records.length > 0) return this.#found(request, batch)
    if (request.pollMs === 0 && !batch.isUnfinished) return this.#timeOut(request, batch)
    const waiting = this.#waits.park(request, request.pollMs || FILTER_MS_MAX, request.pollMs > 0)
    if (waiting === undefined) return this.#reply(request, popAnswer(request, batch, ResponseCode.POLLING_FULL))
    if (batch.isUnfinished) this.#goOn(waiting)
  }

  peek(connection: Connection, header: HeaderView): void {
    if (header.isOneway) return
    const request = this.#admission.requestOf('peek', connection, header)
    this.#reply(request, peekAnswer(this.#reader.peek(request)))
  }

  /** Waits like a pop and takes nothing. */
  notification(connection: Connection, header: HeaderView): void {
    if (header.isOneway) return
    const request = this.#admission.requestOf('notification', connection, header)
    if (this.#reader.hasMessages(request)) return this.#reply(request, notificationAnswer(true, false))
    if (request.isLate || request.pollMs === 0) return this.#reply(request, notificationAnswer(false, false))
    const waiting = this.#waits.park(request, request.pollMs, true)
    if (waiting === undefined) this.#reply(request, notificationAnswer(false, true))
  }

  /** Requests that wait for this queue of the group; -1 = for any. */
  waitingOf(group: string, topic: string, queueId: number): number {
    return this.#waits.countOf(group, topic, queueId)
  }

  get waiting(): number {
    return this.#waits.count
  }

  /** New messages of `queue` became visible. */
  onVisible(queue: ConsumeQueue): void {
    if (this.#waits.count > 0) this.#wake(queue.topic, queue.queueId)
  }

  /** A group may go on in a queue, though nothing was appended to it. */
  onRoom(queue: LeaseQueue): void {
    if (this.#waits.count > 0) this.#wake(queue.topic, queue.queueId, queue.group)
  }

  topicDeleted(topic: string): void {
    for (const waiting of this.#waits.ofTopic(topic)) {
      this.#waits.remove(waiting)
      this.#reply(waiting.request, { code: ResponseCode.TOPIC_NOT_EXIST, remark: `topic ${topic} was deleted` })
    }
  }

  /** A member leaves the group: what it still asks for is answered with nothing, for nobody will read what comes later. */
  farewell(group: string, connection: Connection): void {
    for (const waiting of this.#waits.ofMember(group, connection)) {
      this.#waits.remove(waiting)
      this.#onDeadline(waiting)
    }
  }

  connectionClosed(connection: Connection): void {
    this.#waits.removeConnection(connection)
  }

  close(): void {
    this.#waits.close()
  }

  /** @param queueId of the topic where there is something new; undefined = in any */
  #wake(topic: string, queueId?: number, group?: string): void {
    const retry = this.#retryTopics.owner(topic)
    const ofGroup = retry?.group ?? group
    const ofQueue = retry === undefined ? queueId : undefined
    // Where one request got nothing, the same one of somebody else gets nothing either.
    const dry = new Map<string, Set<MessageFilter>>()
    for (const waiting of this.#waits.ofTopic(retry?.topic ?? topic)) {
      const { request, key } = waiting
      if (ofGroup !== undefined && request.group.name !== ofGroup) continue
      if (ofQueue !== undefined && request.queueId >= 0 && request.queueId !== ofQueue) continue
      const same = request.isOrdered ? `${key} ${request.kind} ${request.attemptId}` : `${key} ${request.kind}`
      if (dry.get(same)?.has(request.filter) === true || !waiting.isWaiting) continue
      if (this.#attempt(waiting)) continue
      const filters = dry.get(same)
      if (filters === undefined) dry.set(same, new Set([request.filter]))
      else filters.add(request.filter)
    }
  }

  /** @returns whether it was answered. What throws outside its request is answered here; nobody else would. */
  #attempt(waiting: WaitingPop): boolean {
    const { request } = waiting
    try {
      if (request.kind === 'notification') {
        if (!this.#reader.hasMessages(request)) return false
        this.#waits.remove(waiting)
        this.#reply(request, notificationAnswer(true, false))
        return true
      }
      const batch = this.#reader.take(request)
      if (batch.records.length > 0) {
        this.#waits.remove(waiting)
        this.#found(request, batch)
        return true
      }
      if (batch.isUnfinished) this.#goOn(waiting)
      else if (!waiting.awaitsMessage) {
        this.#waits.remove(waiting)
        this.#timeOut(request, batch)
      }
      return false
    } catch (error) {
      this.#waits.remove(waiting)
      const remote = error instanceof TandemError ? errorTable[error.code].remote : undefined
      const remark = error instanceof Error ? error.message : String(error)
      this.#reply(request, { code: remote ?? ResponseCode.SYSTEM_ERROR, remark })
      return true
    }
  }

  /** A filter that lets little through looks at a part in each turn, so that others have theirs. */
  #goOn(waiting: WaitingPop): void {
    if (this.#again.size === 0) this.#clock.soon(() => this.#onTurn())
    this.#again.add(waiting)
  }

  #onTurn(): void {
    const waiting = this.#again
    this.#again = new Set()
    for (const one of waiting) {
      // Whoever waits with the same filter was passed over meanwhile, and may have what is left.
      const { topic, group } = one.request
      if (one.isWaiting && this.#attempt(one)) this.#wake(topic.name, undefined, group.name)
    }
  }

  /**
   * Nobody waits any more for the answer to a question that is asked again: it must not get what the new one could have. Asked again
   * too late it is withdrawn: our consumers do so when they close.
   */
  #supersede(request: PopRequest): void {
    const older = this.#waits.sameAs(request)
    if (older === undefined) return
    this.#waits.remove(older)
    this.#timeOut(older.request, this.#nothing(older.request))
  }

  #onDeadline(waiting: WaitingPop): void {
    const { request } = waiting
    if (request.kind === 'notification') this.#reply(request, notificationAnswer(false, false))
    else this.#timeOut(request, this.#nothing(request))
  }

  #found(request: PopRequest, batch: LeaseBatch): void {
    this.#table.whenWritten((error) => {
      if (!request.connection.isOpen) return this.#reader.release(batch)
      if (error === undefined) return this.#reply(request, popAnswer(request, batch, ResponseCode.SUCCESS))
      this.#reply(request, { code: ResponseCode.SERVICE_NOT_AVAILABLE, remark: error.message })
    })
  }

  #timeOut(request: PopRequest, batch: LeaseBatch): void {
    this.#reply(request, popAnswer(request, batch, ResponseCode.POLLING_TIMEOUT))
  }

  #nothing({ isOrdered }: PopRequest): LeaseBatch {
    return new LeaseBatch(this.#clock.now(), isOrdered ? ORDERED_REVIVE_QUEUE : 0)
  }

  #reply(request: PopRequest, answer: Parameters<Connection['reply']>[1]): void {
    if (request.connection.isOpen) request.connection.reply(request, answer)
  }
}
