import type { Timer } from '@tandemmq/remoting'
import { messageOf } from '../../client-error.ts'
import type { MessageQueue } from '../../cluster/route.ts'
import { queueKey } from '../../cluster/route.ts'
import type { OffsetStore } from '../offset-store.ts'
import type { StartOffsets } from '../start-offsets.ts'
import { Handover } from './handover.ts'
import type { ConsumeContext } from './queue-consumer.ts'
import { QueueConsumer } from './queue-consumer.ts'
import type { HeldLock } from './queue-locks.ts'
import { QueueLocks } from './queue-locks.ts'

export interface QueueSetOptions {
  readonly context: ConsumeContext
  readonly offsets: OffsetStore
  readonly starts: StartOffsets
  readonly isOrdered: boolean
  readonly commitIntervalMs: number
  readonly lockIntervalMs: number
}

/** Every so many commits everything is told again: a one-way commit may have been lost with its connection. */
const FULL_COMMIT_EVERY = 15

/** The queues this consumer has now: taking, keeping, committing and giving back. */
export class QueueSet {
  readonly #options: QueueSetOptions
  readonly #queues = new Map<string, QueueConsumer>()
  /** Queues given away whose last handler still runs: not to be taken again before. */
  readonly #leaving = new Set<string>()
  readonly #locks: QueueLocks
  readonly #handover: Handover
  #timers: Timer[] = []
  #commits = 0
  #isClosed = false

  constructor(options: QueueSetOptions) {
    this.#options = options
    const { core, group } = options.context
    this.#locks = new QueueLocks(core, group, !options.isOrdered)
    this.#handover = new Handover(core.clock)
  }

  get all(): readonly QueueConsumer[] {
    return [...this.#queues.values()]
  }

  find(queue: MessageQueue): QueueConsumer | undefined {
    return this.#queues.get(queueKey(queue))
  }

  start(): void {
    this.#every(0, this.#options.commitIntervalMs, () => this.commitSoon())
    if (this.#options.isOrdered) this.#every(1, this.#options.lockIntervalMs, () => this.#renewLocks())
  }

  /**
   * Makes `mine` the queues of `topic`.
   * @param isHandedOver a queue is taken when who had it before has finished with it
   * @returns false when some could not be taken yet
   */
  async assign(
    topic: string,
    mine: readonly MessageQueue[],
    all: readonly MessageQueue[],
    isHandedOver: boolean,
  ): Promise<boolean> {
    const wanted = new Set(mine.map(queueKey))
    const lost = this.all.filter((queue) => queue.queue.topic === topic && !wanted.has(queueKey(queue.queue)))
    await Promise.all(lost.map((queue) => this.#giveUp(queue, isHandedOver)))
    let isComplete = true
    const missing = mine.filter((queue) => !this.#queues.has(queueKey(queue)))
    const free = missing.filter((queue) => !this.#leaving.has(queueKey(queue)))
    const held = this.#options.isOrdered ? await this.#lockByBroker(free) : undefined
    const takeable =
      held === undefined
        ? await this.#claimed(free, mine, isHandedOver)
        : free.filter((queue) => held.has(queueKey(queue)))
    if (takeable.length < missing.length) isComplete = false
    await Promise.all(
      takeable.map(async (queue) => {
        try {
          await this.#take(queue, all, held?.get(queueKey(queue)))
        } catch (error) {
          isComplete = false
          this.#options.context.core.logger.warn(`queue ${queueKey(queue)} not taken yet: ${messageOf(error)}`)
        }
      }),
    )
    return isComplete
  }

  /** Tells the store what changed since the last time. */
  commitSoon(): void {
    const isFull = ++this.#commits % FULL_COMMIT_EVERY === 0
    for (const queue of this.#queues.values()) {
      const offset = queue.commitOffset
      if (offset === queue.committed && !isFull && !queue.mayBeForgotten) continue
      this.#options.offsets.writeSoon(queue.queue, offset, queue.lockEpoch)
      queue.committed = offset
    }
  }

  /** Moves a queue to `offset`, now and for the group. */
  async reset(queue: QueueConsumer, offset: number): Promise<void> {
    queue.reset(offset)
    await this.#options.offsets.write(queue.queue, offset, queue.lockEpoch)
  }

  stopPulling(): void {
    this.#isClosed = true
    for (const timer of this.#timers) timer.cancel()
    for (const queue of this.#queues.values()) queue.stop()
  }

  /** Commits everything finished and gives back the locks. Call when no handler runs any more. */
  async giveBackAll(): Promise<void> {
    await Promise.all(
      this.all.map(async (queue) => {
        await this.#commitNow(queue)
        if (this.#options.isOrdered) await this.#unlock(queue)
      }),
    )
    this.#queues.clear()
  }

  /** Forgets the queues without a word: they are somebody else's already. */
  abandon(): void {
    this.stopPulling()
    this.#queues.clear()
  }

  async #take(queue: MessageQueue, all: readonly MessageQueue[], lock: HeldLock | undefined): Promise<void> {
    const { context, starts, isOrdered } = this.#options
    const askedAt = context.core.clock.monotonic()
    const offset = await starts.of(queue, all)
    if (this.#isClosed) return
    const consumer = new QueueConsumer(context, queue, isOrdered)
    if (lock !== undefined) consumer.lockedUntil = askedAt + lock.trustedMs
    consumer.lockEpoch = lock?.epoch ?? 0
    this.#queues.set(queueKey(queue), consumer)
    consumer.start(offset)
    context.core.logger.debug(`took ${queueKey(queue)} at ${offset}`)
  }

  async #claimed(
    free: readonly MessageQueue[],
    mine: readonly MessageQueue[],
    isHandedOver: boolean,
  ): Promise<readonly MessageQueue[]> {
    if (!isHandedOver) return free
    // Those we have are claimed again, which renews them.
    const held = await this.#lockByBroker(mine)
    return this.#handover.takeable(free, new Set(held.keys()))
  }

  async #giveUp(queue: QueueConsumer, isHandedOver: boolean): Promise<void> {
    const key = queueKey(queue.queue)
    queue.stop()
    this.#queues.delete(key)
    this.#options.context.core.logger.debug(`gave up ${key}`)
    const { isOrdered } = this.#options
    if (!isOrdered) await this.#commitNow(queue)
    if (!isOrdered && !isHandedOver) return
    // The lock protects the order, a claim the rest of the work, until the last handler has ended; off the rebalance's way.
    this.#leaving.add(key)
    const finished = isOrdered ? queue.idle() : this.#handover.finished(queue)
    finished
      .then(() => this.#commitNow(queue))
      .then(() => this.#unlock(queue))
      .finally(() => this.#leaving.delete(key))
      .catch((error: unknown) => this.#options.context.core.logger.warn(`leaving ${key}: ${messageOf(error)}`))
  }

  async #commitNow(queue: QueueConsumer): Promise<void> {
    try {
      await this.#options.offsets.write(queue.queue, queue.commitOffset, queue.lockEpoch)
    } catch (error) {
      this.#options.context.core.logger.warn(`commit of ${queueKey(queue.queue)} failed: ${messageOf(error)}`)
    }
  }

  async #unlock(queue: QueueConsumer): Promise<void> {
    try {
      await this.#locks.unlock(queue.queue)
    } catch (error) {
      this.#options.context.core.logger.debug(`unlock of ${queueKey(queue.queue)} failed: ${messageOf(error)}`)
    }
  }

  async #renewLocks(): Promise<void> {
    const { core, dispatcher } = this.#options.context
    const now = core.clock.monotonic()
    const held = await this.#lockByBroker(this.all.map((queue) => queue.queue))
    for (const queue of this.all) {
      const lock = held.get(queueKey(queue.queue))
      if (lock === undefined || queue.isStopped) continue
      if (lock.epoch !== queue.lockEpoch) {
        // Somebody else had the queue meanwhile, and may be further than what is cached here.
        await this.#beginAnew(queue, lock.epoch)
        continue
      }
      queue.lockedUntil = now + lock.trustedMs
      dispatcher.wake(queue)
    }
  }

  /** Goes on from what the group committed, when the handler that may still run has ended. */
  async #beginAnew(queue: QueueConsumer, epoch: number): Promise<void> {
    const { core } = this.#options.context
    core.logger.warn(`${queueKey(queue.queue)} had another owner; going on from what is committed`)
    queue.lockedUntil = Number.NEGATIVE_INFINITY
    const offset = await this.#options.offsets.read(queue.queue)
    if (queue.isStopped) return
    queue.lockEpoch = epoch
    queue.reset(offset ?? queue.commitOffset)
  }

  async #lockByBroker(queues: readonly MessageQueue[]): Promise<Map<string, HeldLock>> {
    const byBroker = new Map<string, MessageQueue[]>()
    for (const queue of queues) byBroker.set(queue.brokerName, [...(byBroker.get(queue.brokerName) ?? []), queue])
    const held = new Map<string, HeldLock>()
    await Promise.all(
      [...byBroker].map(async ([brokerName, wanted]) => {
        try {
          for (const [key, lock] of await this.#locks.lock(brokerName, wanted)) held.set(key, lock)
        } catch (error) {
          this.#options.context.core.logger.warn(`lock of queues on ${brokerName} failed: ${messageOf(error)}`)
        }
      }),
    )
    return held
  }

  #every(slot: number, intervalMs: number, work: () => void | Promise<void>): void {
    const { clock, logger } = this.#options.context.core
    const arm = (): void => {
      if (this.#isClosed) return
      this.#timers[slot] = clock.setTimer(intervalMs, () => {
        Promise.resolve()
          .then(work)
          .catch((error: unknown) => logger.warn(`periodic work failed: ${messageOf(error)}`))
          .finally(arm)
      })
    }
    arm()
  }
}
