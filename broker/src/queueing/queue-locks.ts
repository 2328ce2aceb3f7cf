import type { Clock } from '@tandemmq/remoting'

/** remoting.md 4.12: a lock not renewed for so long may be taken by another client. */
const LOCK_EXPIRY_MS = 60_000

interface QueueLock {
  clientId: string
  /** Monotonic ms. */
  expiresAt: number
  /** Grows with every change of owner: what an owner of an older epoch does is stale. */
  epoch: number
}

/** Queues that one consumer of a group may consume in order. In memory: after a restart clients lock again. */
export class QueueLocks {
  readonly #clock: Clock
  readonly #expiryMs: number
  readonly #groups = new Map<string, Map<string, QueueLock>>()

  /** @param options.expiryMs default 60,000 */
  constructor(options: { clock: Clock; expiryMs?: number }) {
    this.#clock = options.clock
    this.#expiryMs = options.expiryMs ?? LOCK_EXPIRY_MS
  }

  /** @returns true when the client holds the queue now; holding it already renews it */
  lock(group: string, clientId: string, topic: string, queueId: number): boolean {
    let locks = this.#groups.get(group)
    if (locks === undefined) this.#groups.set(group, (locks = new Map()))
    const key = keyOf(topic, queueId)
    const now = this.#clock.monotonic()
    const held = locks.get(key)
    if (held !== undefined && held.clientId !== clientId && held.expiresAt > now) return false
    const sameOwner = held !== undefined && held.clientId === clientId && held.expiresAt > now
    const epoch = sameOwner ? held.epoch : (held?.epoch ?? 0) + 1
    locks.set(key, { clientId, expiresAt: now + this.#expiryMs, epoch })
    return true
  }

  /** Frees the queue if this client holds it. */
  unlock(group: string, clientId: string, topic: string, queueId: number): void {
    const held = this.#groups.get(group)?.get(keyOf(topic, queueId))
    // The entry stays for its epoch: the next owner must not get the number of the last one.
    if (held?.clientId === clientId) held.expiresAt = Number.NEGATIVE_INFINITY
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
    for (const { expiresAt } of this.#groups.get(group)?.values() ?? []) if (expiresAt > now) return true
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

/** Topic names cannot contain an @. */
const keyOf = (topic: string, queueId: number): string => `${topic}@${queueId}`
