import { RequestCode } from '@tandemmq/protocol'
import type { Clock, Connection } from '@tandemmq/remoting'

/** remoting.md 4.12: a lock not renewed for so long may be taken by another client. */
const LOCK_EXPIRY_MS = 60_000

interface QueueLock {
  clientId: string
  /** Monotonic ms. */
  expiresAt: number
  /** Grows with every change of owner: what an owner of an older epoch does is stale. */
  epoch: number
  /** Of a consumer that handles a queue's messages side by side, and takes a queue over only when the owner before has let go of it. */
  isClaim: boolean
  /** Who was refused and wants to know when it is free; at most {@link WAITERS_MAX}, others ask again by themselves. */
  waiters: Set<Connection> | undefined
}

const WAITERS_MAX = 100

/**
 * Queues that one consumer of a group has for itself: to consume them in order, or until it has finished with them. In memory: after a
 * restart clients lock again.
 */
export class QueueLocks {
  readonly #clock: Clock
  readonly #expiryMs: number
  readonly #groups = new Map<string, Map<string, QueueLock>>()

  /** @param options.expiryMs default 60,000 */
  constructor(options: { clock: Clock; expiryMs?: number }) {
    this.#clock = options.clock
    this.#expiryMs = options.expiryMs ?? LOCK_EXPIRY_MS
  }

  /**
   * @param claim given: a claim, and who wants to hear when the queue is free
   * @returns true when the client holds the queue now; holding it already renews it
   */
  lock(group: string, clientId: string, topic: string, queueId: number, claim?: Connection): boolean {
    let locks = this.#groups.get(group)
    if (locks === undefined) this.#groups.set(group, (locks = new Map()))
    const key = keyOf(topic, queueId)
    const now = this.#clock.monotonic()
    const held = locks.get(key)
    if (held !== undefined && held.clientId !== clientId && held.expiresAt > now) {
      if (claim !== undefined) waitFor(held, claim)
      return false
    }
    const sameOwner = held !== undefined && held.clientId === clientId && held.expiresAt > now
    const epoch = sameOwner ? held.epoch : (held?.epoch ?? 0) + 1
    const waiters = sameOwner ? held.waiters : undefined
    locks.set(key, { clientId, expiresAt: now + this.#expiryMs, epoch, isClaim: claim !== undefined, waiters })
    return true
  }

  /** Frees the queue if this client holds it. */
  unlock(group: string, clientId: string, topic: string, queueId: number): void {
    const held = this.#groups.get(group)?.get(keyOf(topic, queueId))
    // The entry stays for its epoch: the next owner must not get the number of the last one.
    if (held?.clientId === clientId) free(group, held)
  }

  /** The client is no member any more. What it consumed in order stays its own until the lock expires: it may not know yet. */
  releaseClaims(group: string, clientId: string): void {
    for (const held of this.#groups.get(group)?.values() ?? []) {
      if (held.isClaim && held.clientId === clientId) free(group, held)
    }
  }

  /** Client that holds the queue, undefined when it is free. */
  owner(group: string, topic: string, queueId: number): string | undefined {
    const held = this.#groups.get(group)?.get(keyOf(topic, queueId))
    return held !== undefined && held.expiresAt > this.#clock.monotonic() ? held.clientId : undefined
  }

  /** Times the queue changed hands; 0 = never locked. */
  epoch(group: string, topic: string, queueId: number): number {
    return this.#groups.get(group)?.get(keyOf(topic, queueId))?.epoch ?? 0
  }

  /** True while any queue of the group is held: the group consumes in order. */
  isOrdered(group: string): boolean {
    const now = this.#clock.monotonic()
    for (const { expiresAt, isClaim } of this.#groups.get(group)?.values() ?? []) {
      if (expiresAt > now && !isClaim) return true
    }
    return false
  }

  deleteGroup(group: string): void {
    this.#groups.delete(group)
  }

  deleteTopic(topic: string): void {
    for (const locks of this.#groups.values()) {
      for (const key of locks.keys()) if (key.startsWith(`${topic}@`)) locks.delete(key)
    }
  }
}

function waitFor(held: QueueLock, connection: Connection): void {
  held.waiters ??= new Set()
  if (held.waiters.size < WAITERS_MAX) held.waiters.add(connection)
}

/** Members share out queues anew when they are told that the group changed. */
function free(group: string, held: QueueLock): void {
  held.expiresAt = Number.NEGATIVE_INFINITY
  for (const connection of held.waiters ?? []) {
    if (!connection.isOpen) continue
    connection.oneway({ code: RequestCode.NOTIFY_CONSUMER_IDS_CHANGED, extFields: { consumerGroup: group } })
  }
  held.waiters = undefined
}

/** Topic names cannot contain an @. */
const keyOf = (topic: string, queueId: number): string => `${topic}@${queueId}`
