import type { Clock } from '@tandemmq/remoting'
import type { ConsumeQueue } from '../../store/index.ts'
import { LeaseBatch, type Part } from './lease-batch.ts'
import type { LeaseReceipts } from './lease-receipts.ts'
import type { OriginalMessages } from './original-messages.ts'
import type { PopRequest } from './pop-request.ts'
import type { RecordScan } from './record-scan.ts'

/** Answers remembered at a time, about 1 KB each; the oldest is forgotten first. */
const GIVEN_MAX = 10_000
/** Longer ones come from no client. */
const ATTEMPT_ID_CHARACTERS_MAX = 128

interface Given {
  readonly popTime: number
  readonly reviveQueueId: number
  readonly parts: readonly Part[]
  /** Monotonic ms: end of the leases as they were given first, so that lost answers keep nobody's messages for ever. */
  readonly until: number
}

/**
 * What pops were given, by the attempt they named: the same attempt again means that its answer was lost, and gets the same messages
 * instead of new ones while those wait for the end of leases nobody has. In memory: after a restart they do. What is consumed in the
 * order of queues has its own memory of attempts, OrderBatch.
 */
export class PopAttempts {
  readonly #clock: Clock
  readonly #receipts: LeaseReceipts
  readonly #scan: RecordScan
  readonly #originals: OriginalMessages
  readonly #sourceOf: (topic: string, queueId: number) => ConsumeQueue | undefined
  readonly #givenMax: number
  readonly #given = new Map<string, Given>()

  /** @param options.givenMax answers remembered, default 10,000 */
  constructor(options: {
    clock: Clock
    receipts: LeaseReceipts
    scan: RecordScan
    originals: OriginalMessages
    sourceOf: (topic: string, queueId: number) => ConsumeQueue | undefined
    givenMax?: number
  }) {
    this.#givenMax = options.givenMax ?? GIVEN_MAX
    this.#clock = options.clock
    this.#receipts = options.receipts
    this.#scan = options.scan
    this.#originals = options.originals
    this.#sourceOf = options.sourceOf
  }

  get size(): number {
    return this.#given.size
  }

  keep(request: PopRequest, batch: LeaseBatch): void {
    if (!isRepeatable(request) || batch.records.length === 0) return
    const { popTime, reviveQueueId, parts } = batch
    this.#forgetOld()
    const until = this.#clock.monotonic() + request.invisibleMs
    this.#given.set(attemptKeyOf(request), { popTime, reviveQueueId, parts, until })
  }

  /**
   * What the same attempt was given and nobody has settled, under receipts of its own: those of the lost answer end.
   * @returns undefined when that is nothing
   * @throws {StoreError} LOG_DAMAGED
   */
  again(request: PopRequest): LeaseBatch | undefined {
    if (!isRepeatable(request)) return undefined
    const key = attemptKeyOf(request)
    const given = this.#given.get(key)
    if (given === undefined) return undefined
    this.#given.delete(key)
    if (given.until <= this.#clock.monotonic()) return undefined
    const batch = new LeaseBatch(Math.max(this.#clock.now(), given.popTime + 1), given.reviveQueueId)
    for (const part of given.parts) this.#take(request, batch, part, given)
    if (batch.records.length === 0) return undefined
    const { popTime, parts } = batch
    this.#given.set(key, { ...given, popTime, parts })
    return batch
  }

  #take({ topic, invisibleMs }: PopRequest, batch: LeaseBatch, part: Part, given: Given): void {
    const { queue, flag } = part
    const source = queue === undefined ? undefined : this.#sourceOf(queue.topic, queue.queueId)
    if (queue === undefined || source === undefined) return
    const records = new Map<number, Buffer>()
    for (const offset of part.offsets) {
      const record = this.#receipts.holds(queue, offset, given) ? this.#scan.recordOf(source, offset) : undefined
      if (record !== undefined) records.set(offset, record)
    }
    const offsets = [...records.keys()]
    const { popTime, reviveQueueId } = batch
    const epoch = { popTime, invisibleMs, reviveQueueId }
    for (const record of records.values()) batch.reserve(record.length)
    const [start = 0] = offsets
    const receipt = { ...epoch, retry: flag }
    const shown = [...records.values()].map((record) =>
      flag === 0 ? record : this.#originals.of(record, topic.nameBytes, receipt, start),
    )
    const deliveries = part.deliveries?.filter(({ offset }) => records.has(offset))
    this.#receipts.renew(queue, offsets, epoch)
    batch.add(flag, queue, offsets, shown, deliveries)
  }

  /** From the oldest on, as far as their time is over; one with a long lease holds up others, but no more than there may be. */
  #forgetOld(): void {
    const now = this.#clock.monotonic()
    for (const [key, { until }] of this.#given) {
      if (until > now && this.#given.size < this.#givenMax) return
      this.#given.delete(key)
    }
  }
}

/** Whether the request names its attempt, and repeats of it are this file's matter. */
function isRepeatable({ attemptId, isOrdered, isByKey }: PopRequest): boolean {
  return attemptId !== '' && attemptId.length <= ATTEMPT_ID_CHARACTERS_MAX && (!isOrdered || isByKey)
}

export function attemptKeyOf({ group, topic, queueId, isOrdered, attemptId }: PopRequest): string {
  return `${group.name}@${topic.name}@${queueId}@${isOrdered ? 'o' : ''}@${attemptId}`
}
