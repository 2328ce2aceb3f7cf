import type { Clock, Connection } from '@tandemmq/remoting'
import { Deadlines } from './deadlines.ts'
import { attemptKeyOf } from './pop-attempts.ts'
import type { PopRequest } from './pop-request.ts'

/** broker.md 6.7: requests that wait for the same queue of a group, and all of them. */
const PER_KEY_MAX = 1024
const TOTAL_MAX = 100_000

export interface WaitingPop {
  readonly request: PopRequest
  readonly key: string
  /** False: it waits for its filter's turn and is answered as soon as everything was looked through. */
  readonly awaitsMessage: boolean
  deadline: number
  isWaiting: boolean
}

/** Pops and notifications that wait for messages, first come first served. */
export class PopWaits {
  readonly #clock: Clock
  readonly #deadlines: Deadlines<WaitingPop>
  readonly #byTopic = new Map<string, Set<WaitingPop>>()
  readonly #byConnection = new Map<number, Set<WaitingPop>>()
  readonly #byKey = new Map<string, number>()
  /** Pops that name their attempt. */
  readonly #byAttempt = new Map<string, WaitingPop>()
  #count = 0

  constructor(clock: Clock, onDeadline: (waiting: WaitingPop) => void) {
    this.#clock = clock
    this.#deadlines = new Deadlines(clock, (waiting) => {
      this.remove(waiting)
      onDeadline(waiting)
    })
  }

  get count(): number {
    return this.#count
  }

  countOf(group: string, topic: string, queueId: number): number {
    return this.#byKey.get(keyOf(group, topic, queueId)) ?? 0
  }

  /** @returns undefined when too many wait already */
  park(request: PopRequest, waitMs: number, awaitsMessage: boolean): WaitingPop | undefined {
    const key = keyOf(request.group.name, request.topic.name, request.queueId)
    const ofKey = this.#byKey.get(key) ?? 0
    if (ofKey >= PER_KEY_MAX || this.#count >= TOTAL_MAX) return undefined
    const waiting: WaitingPop = { request, key, awaitsMessage, deadline: 0, isWaiting: true }
    waiting.deadline = this.#deadlines.add(this.#clock.monotonic() + waitMs, waiting)
    this.#byKey.set(key, ofKey + 1)
    this.#count++
    if (isNamed(request)) this.#byAttempt.set(attemptKeyOf(request), waiting)
    insert(this.#byTopic, request.topic.name, waiting)
    insert(this.#byConnection, request.connection.id, waiting)
    return waiting
  }

  /** Takes it out; the caller answers it, or nobody does. */
  remove(waiting: WaitingPop): void {
    if (!waiting.isWaiting) return
    waiting.isWaiting = false
    this.#deadlines.cancel(waiting.deadline)
    this.#count--
    const left = (this.#byKey.get(waiting.key) ?? 1) - 1
    if (left === 0) this.#byKey.delete(waiting.key)
    else this.#byKey.set(waiting.key, left)
    const attempt = isNamed(waiting.request) ? attemptKeyOf(waiting.request) : ''
    if (this.#byAttempt.get(attempt) === waiting) this.#byAttempt.delete(attempt)
    removeFrom(this.#byTopic, waiting.request.topic.name, waiting)
    removeFrom(this.#byConnection, waiting.request.connection.id, waiting)
  }

  /** The same attempt, asked for before and not answered yet. */
  sameAs(request: PopRequest): WaitingPop | undefined {
    return isNamed(request) ? this.#byAttempt.get(attemptKeyOf(request)) : undefined
  }

  /** Those of a topic, oldest first, as a list that stays while they are answered. */
  ofTopic(topic: string): WaitingPop[] {
    return [...(this.#byTopic.get(topic) ?? [])]
  }

  /** Those of a member of the group, as such a list. */
  ofMember(group: string, connection: Connection): WaitingPop[] {
    const ofConnection = this.#byConnection.get(connection.id) ?? []
    return [...ofConnection].filter(({ request }) => request.group.name === group)
  }

  removeConnection(connection: Connection): void {
    for (const waiting of this.#byConnection.get(connection.id) ?? []) this.remove(waiting)
  }

  close(): void {
    this.#deadlines.close()
  }
}

const isNamed = ({ kind, attemptId }: PopRequest): boolean => kind === 'pop' && attemptId !== ''

const keyOf = (group: string, topic: string, queueId: number): string => `${group}@${topic}@${queueId}`

function insert<K>(map: Map<K, Set<WaitingPop>>, key: K, waiting: WaitingPop): void {
  const set = map.get(key)
  if (set === undefined) map.set(key, new Set([waiting]))
  else set.add(waiting)
}

function removeFrom<K>(map: Map<K, Set<WaitingPop>>, key: K, waiting: WaitingPop): void {
  const set = map.get(key)
  set?.delete(waiting)
  if (set?.size === 0) map.delete(key)
}
