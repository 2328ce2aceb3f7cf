import type { LeaseQueue } from './lease-queue.ts'
import type { Delivery } from './order-batch.ts'
import type { RetryFlag } from './receipt.ts'

/** As for pulls: at least one message, and no more bytes than this. */
const BATCH_BYTES_MAX = 262_144

/** The messages of one queue in an answer. */
export interface Part {
  readonly flag: RetryFlag
  readonly queueId: number
  readonly offsets: readonly number[]
  /** Undefined for a peek, which leases nothing. */
  readonly queue?: LeaseQueue
  /** In order only. */
  readonly deliveries?: readonly Delivery[]
}

/** What a pop was given. */
export class LeaseBatch {
  readonly popTime: number
  readonly reviveQueueId: number
  readonly parts: Part[] = []
  readonly records: Buffer[] = []
  /** Messages left in the queues it could have read. */
  restNum = 0
  /** Not every queue was looked through: there may be more. */
  isUnfinished = false
  #count = 0
  #bytes = 0

  constructor(popTime: number, reviveQueueId: number) {
    this.popTime = popTime
    this.reviveQueueId = reviveQueueId
  }

  get count(): number {
    return this.#count
  }

  get bytes(): number {
    return this.#bytes
  }

  get isFull(): boolean {
    return this.#count > 0 && this.#bytes >= BATCH_BYTES_MAX
  }

  hasRoomFor(bytes: number): boolean {
    return this.#count === 0 || this.#bytes + bytes <= BATCH_BYTES_MAX
  }

  /** A record is going to be part of it. */
  reserve(bytes: number): void {
    this.#count++
    this.#bytes += bytes
  }

  /** @param records of `offsets`, reserved before */
  add(
    flag: RetryFlag,
    queue: LeaseQueue,
    offsets: readonly number[],
    records: readonly Buffer[],
    deliveries?: readonly Delivery[],
  ): void {
    if (offsets.length === 0) return
    const { queueId } = queue
    this.parts.push({ flag, queueId, queue, offsets, ...(deliveries === undefined ? {} : { deliveries }) })
    this.records.push(...records)
  }
}
