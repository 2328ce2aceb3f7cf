import { emptyRecordFields, decodeRecord } from '@tandemmq/protocol'
import type { RecordFields } from '@tandemmq/protocol'
import type { Clock } from '@tandemmq/remoting'
import { VirtualClock } from '@tandemmq/remoting/simulation'
import type { ConsumeQueue } from '../../broker/src/store/consume-queue.ts'
import type { Disk } from '../../broker/src/store/disk.ts'
import { IndexEntry } from '../../broker/src/index-entry.ts'
import { MessageStore } from '../../broker/src/store/message-store.ts'
import type { AppendCompletion } from '../../broker/src/store/pending-appends.ts'
import type { StoreError } from '../../broker/src/store/store-error.ts'
import type { DerivedState, StoreOptions } from '../../broker/src/store/store-options.ts'

/** Helpers of this folder's tests. */
export const host = Buffer.from([127, 0, 0, 1, 0, 0, 0x26, 0x94])
/** Disks in memory are copied a thousand times. */
export const RESERVE_BYTES = 16 << 10
const NOTHING = Buffer.alloc(0)

export function fieldsOf(topic: string, body: string | Buffer): RecordFields {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body
  return {
    ...emptyRecordFields(),
    topic: Buffer.from(topic),
    bornTimestamp: 1,
    bornHost: host,
    storeHost: host,
    body: bytes,
    bodyStart: 0,
    bodyEnd: bytes.length,
    properties: NOTHING,
    propertiesStart: 0,
    propertiesEnd: 0,
  }
}

export function virtualClock(): VirtualClock {
  return new VirtualClock({ seed: 1, startAt: 1_700_000_000_000 })
}

export function openStore(disk: Disk, clock: Clock, options: Partial<StoreOptions> = {}): MessageStore {
  return MessageStore.open({
    disk,
    clock,
    directory: 'data',
    flush: 'sync',
    reserveBytes: RESERVE_BYTES,
    describe: (_record, _bytes, entry) => entry.begin(7),
    ...options,
  })
}

/** Remembers what became of one append. */
export class Outcome implements AppendCompletion {
  state: 'waiting' | 'stored' | 'failed' = 'waiting'
  error: StoreError | undefined

  stored(): void {
    this.state = 'stored'
  }

  failed(error: StoreError): void {
    this.state = 'failed'
    this.error = error
  }
}

export function append(store: MessageStore, topic: string, body: string | Buffer, queueId = 0): Outcome {
  const outcome = new Outcome()
  const entry = new IndexEntry()
  entry.begin(7)
  store.append(store.queue(topic, queueId), fieldsOf(topic, body), entry, outcome)
  return outcome
}

/** Bodies a consumer of the queue sees; vacant offsets show as undefined. */
export function bodiesOf(store: MessageStore, queue: ConsumeQueue | undefined): (string | undefined)[] {
  const bodies: (string | undefined)[] = []
  if (queue === undefined) return bodies
  for (let offset = queue.minOffset; offset < queue.maxOffset; offset++) {
    const size = queue.size(offset)
    const target = Buffer.alloc(size)
    if (size === 0) bodies.push(undefined)
    else if (!store.readInto(queue.physicalOffset(offset), size, target, 0)) throw new Error(`offset ${offset} is gone`)
    else bodies.push(decodeRecord(target).body.toString())
  }
  return bodies
}

/** Lets syncs of a memory or fault disk finish. */
export async function turns(count = 10): Promise<void> {
  for (let turn = 0; turn < count; turn++) await Promise.resolve()
}

/** The simplest table that follows from the log: where its records are. */
export class OffsetMirror implements DerivedState {
  readonly offsets = new Set<number>()
  restored = 0

  snapshot(before: number): Buffer[] {
    const known = Float64Array.from([...this.offsets].filter((offset) => offset < before))
    return [Buffer.from(known.buffer)]
  }

  restore(snapshot: Buffer, first: number): void {
    for (let at = 0; at < snapshot.length; at += 8) {
      const offset = snapshot.readDoubleLE(at)
      if (offset >= first) this.offsets.add(offset)
    }
    this.restored = this.offsets.size
  }
}

/** Options that make a store keep `mirror`. */
export function mirrored(mirror: OffsetMirror): Partial<StoreOptions> {
  return {
    derived: new Map([['mirror', mirror]]),
    onRecovered: (record) => {
      if (mirror.offsets.has(record.physicalOffset)) throw new Error(`record ${record.physicalOffset} came twice`)
      mirror.offsets.add(record.physicalOffset)
    },
  }
}

/** Log offsets of everything the queues know. */
export function offsetsOf(queues: Iterable<ConsumeQueue | undefined>): number[] {
  const offsets: number[] = []
  for (const queue of queues) {
    if (queue === undefined) continue
    for (let offset = queue.minOffset; offset < queue.maxOffset; offset++) {
      if (queue.size(offset) > 0) offsets.push(queue.physicalOffset(offset))
    }
  }
  return offsets.toSorted((a, b) => a - b)
}
