import { Checkpoints } from './checkpoints.ts'
import { HotMemory } from './hot-memory.ts'
import { LogTail } from './log-tail.ts'
import { RecordReader } from './record-reader.ts'
import type { Recovered } from './recovery.ts'
import { SEGMENT_BYTES } from './recovery.ts'
import { Retention } from './retention.ts'
import { SegmentAges } from './segment-ages.ts'
import type { StoreOptions } from './store-options.ts'
import { ZeroFiller } from './zero-filler.ts'

const MIB = 1 << 20

export interface StoreParts {
  hot: HotMemory
  tail: LogTail
  reader: RecordReader
  checkpoints: Checkpoints
  retention: Retention
}

/** What the parts tell the store. */
export interface PartEvents {
  onDurable(): void
  /** There is room again after a full disk, and what waited for it is written. */
  onRoom(): void
  onBroken(error: Error): void
}

/** Builds the parts of a store over what recovery found. */
export function buildParts(options: StoreOptions, recovered: Recovered, events: PartEvents): StoreParts {
  const { clock, disk, segmentBytes = SEGMENT_BYTES, onDamage, onClockJump } = options
  const { segments, scan, queues, state, journal, index } = recovered
  const { onBroken } = events
  const hot = new HotMemory(options.hotBytesMax ?? 32 * MIB)
  // Async appends never wait for a sync, so a second write of every byte would buy them nothing.
  const filler =
    options.flush === 'sync' ? new ZeroFiller({ clock, disk, segments, segmentBytes, onBroken }) : undefined
  const tail = new LogTail(
    {
      ...{ clock, segments, hot, segmentBytes },
      ...(filler && { filler }),
      reserve: recovered.reserve,
      onDurable: () => events.onDurable(),
      onSynced: (elapsedMs) => options.onSynced?.(elapsedMs),
      onRoom: () => events.onRoom(),
      onFull: (isFull) => options.onFull?.(isFull),
      onBroken,
    },
    scan.segment,
    scan.end,
  )
  if (recovered.reserve.isSpent) tail.waitForRoom()
  const reader = new RecordReader({
    ...{ segments, hot, tail, queues },
    ...(onDamage && { onDamage: (error) => onDamage(error) }),
  })
  const checkpoints = new Checkpoints(
    {
      ...{ clock, disk, onBroken },
      directory: recovered.directory.checkpoint,
      states: options.derived ?? new Map(),
      everyBytes: options.derived === undefined ? Infinity : (options.checkpointBytes ?? 256 * MIB),
    },
    recovered.checkpoint,
  )
  const { retentionMs = Infinity, retentionMsMax = Infinity } = options
  const limitMs = Math.min(retentionMs, retentionMsMax)
  const kept = { segments, state, journal }
  const ages = new SegmentAges(kept, { clock, newest: scan.lastTimestamp, limitMs, onJump: onClockJump })
  const retention = new Retention({ ...kept, ages, index, queues, limits: options, onBroken })
  return { hot, tail, reader, checkpoints, retention }
}
