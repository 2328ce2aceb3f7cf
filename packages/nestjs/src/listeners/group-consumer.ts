import type { BroadcastOffsetStore, PushConsumer } from '@tandemmq/client'
import type { ConsumerPlan } from './listener-plan.ts'

/** A consumer that is not started yet. */
export interface MadeConsumer {
  readonly consumer: Pick<PushConsumer, 'start' | 'close'>
  /** Called before it is closed: what still collects messages hands them over now. */
  ending(): void
}

/**
 * The listeners of one group over the life of the application. A consumer that has stopped cannot start again, so pausing
 * and changing end one and begin another; what happens to a group happens one after the other.
 */
export class GroupConsumer<H> {
  plan: ConsumerPlan<H>
  isPaused = false
  private readonly make: (plan: ConsumerPlan<H>, positions: BroadcastOffsetStore) => MadeConsumer
  /** Broadcasting groups go on where they were, as clustering ones do by the broker. */
  private readonly positions = new MemoryPositions()
  private current: MadeConsumer | undefined
  private turn: Promise<unknown> = Promise.resolve()
  private isClosed = false

  constructor(plan: ConsumerPlan<H>, make: (plan: ConsumerPlan<H>, positions: BroadcastOffsetStore) => MadeConsumer) {
    this.plan = plan
    this.make = make
  }

  /** @throws whatever the client throws; nothing runs then */
  start(): Promise<void> {
    return this.inTurn(() => this.begin())
  }

  /** Leaves the group: other processes get its messages. Resolves when the running handlers have ended. */
  pause(): Promise<void> {
    return this.inTurn(async () => {
      this.isPaused = true
      await this.end()
    })
  }

  resume(): Promise<void> {
    return this.inTurn(async () => {
      this.isPaused = false
      await this.begin()
    })
  }

  /** Other subscriptions from now on. @throws what the client throws; the old ones go on then */
  change(plan: ConsumerPlan<H>): Promise<void> {
    return this.inTurn(async () => {
      const before = this.plan
      const wasRunning = this.current !== undefined
      this.plan = plan
      await this.end()
      if (!wasRunning) return
      try {
        await this.begin()
      } catch (error) {
        this.plan = before
        await this.begin()
        throw error
      }
    })
  }

  /** Stops fetching at once; resolves when the handlers have ended, or after `drainTimeoutMs`. */
  async close(): Promise<void> {
    this.isClosed = true
    await this.end()
    // One that was about to start meanwhile.
    await this.inTurn(() => this.end())
  }

  private async begin(): Promise<void> {
    if (this.isPaused || this.isClosed || this.current !== undefined || this.plan.listeners.length === 0) return
    this.current = this.make(this.plan, this.positions)
    try {
      await this.current.consumer.start()
    } catch (error) {
      await this.end()
      throw error
    }
  }

  private async end(): Promise<void> {
    const ending = this.current
    this.current = undefined
    ending?.ending()
    await ending?.consumer.close()
  }

  private inTurn<T>(act: () => Promise<T>): Promise<T> {
    const acting = this.turn.then(act)
    this.turn = acting.catch(() => {})
    return acting
  }
}

class MemoryPositions implements BroadcastOffsetStore {
  private readonly offsets = new Map<string, bigint>()

  async read(...[, queue]: Parameters<BroadcastOffsetStore['read']>): Promise<bigint | undefined> {
    return this.offsets.get(JSON.stringify([queue.topic, queue.brokerName, queue.queueId]))
  }

  async write(...[, queue, offset]: Parameters<BroadcastOffsetStore['write']>): Promise<void> {
    this.offsets.set(JSON.stringify([queue.topic, queue.brokerName, queue.queueId]), offset)
  }
}
