import { RequestCode } from '@tandemmq/protocol'
import type { Clock, Connection } from '@tandemmq/remoting'
import type { Journal } from './state-table.ts'

const TABLE = 'queueLocks'

/** remoting.md 4.12: a lock not renewed for so long may be taken by another client. */
const LOCK_EXPIRY_MS = 60_000

interface QueueLock {
  clientId: string
  /** Monotonic ms. */
  expiresAt: number
  /** Grows with every change of owner, over restarts too: what an owner of an older epoch does is stale. */
  epoch: number
  /** Of a consumer that handles a queue's messages side by side, and takes a queue over only when the owner before has let go of it. */
  isClaim: boolean
  /** Who was refused and wants to know when it is free; at most {@link WAITERS_MAX}, others ask again by themselves. */
  waiters: Set<Connection> | undefined
}

const WAITERS_MAX = 100

type Entry =
  | { lock: [group: string, key: string, clientId: string, epoch: number] }
  | { free: [group: string, key: string] }
  | { dropGroup: string }
  | { dropTopic: string }

/**
 * Queues that one consumer of a group has for itself: to consume them in order, or (a claim) until it has finished with them. Owners of
 * the first kind are in the journal: after a restart each has its queue for as long as if it had renewed the lock just then, because it
 * may still be at work (broker.md 7.5). Claims are in memory: after a restart clients claim again.
 */
export class QueueLocks {
  readonly #clock: Clock
  /** Without a renewal a lock is free after it, ms. */
  readonly expiryMs: number
  readonly #journal: Journal | undefined
  readonly #firstEpoch: number
  readonly #groups = new Map<string, Map<string, QueueLock>>()

  /**
   * @param options.expiryMs default 60,000
   * @param options.journal default: owners are forgotten with the process
   */
  constructor(options: { clock: Clock; expiryMs?: number; journal?: Journal }) {
    this.#clock = options.clock
    this.expiryMs = options.expiryMs ?? LOCK_EXPIRY_MS
    this.#journal = options.journal
    this.#firstEpoch = Math.floor(options.clock.now())
    options.journal?.register(TABLE, { apply: (entry) => this.#apply(entry as Entry), snapshot: () => this.#entries() })
  }

  /** As {@link take}. @returns true when the client holds the queue now */
  lock(group: string, clientId: string, topic: string, queueId: number, claim?: Connection): boolean {
    return this.take(group, clientId, topic, queueId, claim) !== undefined
  }

  /**
   * Takes the queue; who holds it already renews it.
   * @param claim given: a claim, and who wants to hear when the queue is free
   * @returns the epoch of the ownership; undefined when somebody else has the queue
   */
  take(group: string, clientId: string, topic: string, queueId: number, claim?: Connection): number | undefined {
    let locks = this.#groups.get(group)
    if (locks === undefined) this.#groups.set(group, (locks = new Map()))
    const key = keyOf(topic, queueId)
    const now = this.#clock.monotonic()
    const held = locks.get(key)
    if (held !== undefined && held.clientId !== clientId && held.expiresAt > now) {
      if (claim !== undefined) waitFor(held, claim)
      return undefined
    }
    const sameOwner = held !== undefined && held.clientId === clientId && held.expiresAt > now
    // A start begins above every epoch of the process before it, of which it may have forgotten some.
    const epoch = sameOwner ? held.epoch : Math.max((held?.epoch ?? 0) + 1, this.#firstEpoch)
    const isClaim = claim !== undefined
    const isNew = !sameOwner || held.isClaim !== isClaim
    const waiters = sameOwner ? held.waiters : undefined
    locks.set(key, { clientId, expiresAt: now + this.expiryMs, epoch, isClaim, waiters })
    if (isNew && !isClaim) this.#journal?.append(TABLE, { lock: [group, key, clientId, epoch] } satisfies Entry)
    return epoch
  }

  /** Frees the queue if this client holds it. */
  unlock(group: string, clientId: string, topic: string, queueId: number): void {
    const key = keyOf(topic, queueId)
    const held = this.#groups.get(group)?.get(key)
    if (held?.clientId === clientId && held.expiresAt !== Number.NEGATIVE_INFINITY) this.#free(group, key, held)
  }

  /** The client is no member any more. What it consumed in order stays its own until the lock expires: it may not know yet. */
  releaseClaims(group: string, clientId: string): void {
    for (const [key, held] of this.#groups.get(group) ?? []) {
      if (held.isClaim && held.clientId === clientId) this.#free(group, key, held)
    }
  }

  /** True when the queue had a later owner than the one of this epoch: what that one says counts no more. */
  isStale(group: string, topic: string, queueId: number, epoch: number): boolean {
    return epoch < this.epoch(group, topic, queueId)
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
    if (!this.#groups.delete(group)) return
    this.#journal?.append(TABLE, { dropGroup: group } satisfies Entry)
  }

  deleteTopic(topic: string): void {
    if (this.#dropTopic(topic)) this.#journal?.append(TABLE, { dropTopic: topic } satisfies Entry)
  }

  /** The entry stays for its epoch: the next owner must not get the number of the last one. */
  #free(group: string, key: string, held: QueueLock): void {
    held.expiresAt = Number.NEGATIVE_INFINITY
    if (!held.isClaim) this.#journal?.append(TABLE, { free: [group, key] } satisfies Entry)
    // Members share out queues anew when they are told that the group changed.
    for (const connection of held.waiters ?? []) {
      if (!connection.isOpen) continue
      connection.oneway({ code: RequestCode.NOTIFY_CONSUMER_IDS_CHANGED, extFields: { consumerGroup: group } })
    }
    held.waiters = undefined
  }

  #dropTopic(topic: string): boolean {
    let isAny = false
    for (const locks of this.#groups.values()) {
      for (const key of locks.keys()) if (key.startsWith(`${topic}@`)) isAny = locks.delete(key) || isAny
    }
    return isAny
  }

  #apply(entry: Entry): void {
    if ('dropGroup' in entry) this.#groups.delete(entry.dropGroup)
    else if ('dropTopic' in entry) this.#dropTopic(entry.dropTopic)
    else if ('lock' in entry) {
      const [group, key, clientId, epoch] = entry.lock
      let locks = this.#groups.get(group)
      if (locks === undefined) this.#groups.set(group, (locks = new Map()))
      const expiresAt = this.#clock.monotonic() + this.expiryMs
      locks.set(key, { clientId, epoch, expiresAt, isClaim: false, waiters: undefined })
    } else {
      const [group, key] = entry.free
      const held = this.#groups.get(group)?.get(key)
      if (held !== undefined) held.expiresAt = Number.NEGATIVE_INFINITY
    }
  }

  /** Those held; of the others the next start forgets that there was an owner, and begins above their epochs. */
  *#entries(): Iterable<Entry> {
    const now = this.#clock.monotonic()
    for (const [group, locks] of this.#groups) {
      for (const [key, { clientId, epoch, expiresAt, isClaim }] of locks) {
        if (expiresAt > now && !isClaim) yield { lock: [group, key, clientId, epoch] }
      }
    }
  }
}

function waitFor(held: QueueLock, connection: Connection): void {
  held.waiters ??= new Set()
  if (held.waiters.size < WAITERS_MAX) held.waiters.add(connection)
}

/** Topic names cannot contain an @. */
const keyOf = (topic: string, queueId: number): string => `${topic}@${queueId}`
