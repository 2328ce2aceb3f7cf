import type { Disk, DiskFile } from './disk.ts'
import { diskError, listNames, lockIn, MemoryBytes } from './memory-disk.ts'

/** Smallest piece of a write that reaches the platter or does not. */
const SECTOR_BYTES = 512

type Change = { position: number; bytes: Buffer } | { size: number }
type Operation = 'open' | 'write' | 'read' | 'sync' | 'truncate' | 'remove' | 'rename' | 'syncDirectory'
type Names = Map<string, FaultFile>

interface FaultFile {
  seen: MemoryBytes
  durable: MemoryBytes
  unsynced: Change[]
  /** Changes that left `unsynced` so far: names a point in the history of the file. */
  settled: number
}

/** Makes operations fail. */
export interface Fault {
  operation: Operation
  /** Error code, such as EIO or ENOSPC. */
  code: string
  /** Paths it meets; default all. */
  path?: RegExp
  /** Operations let through before the first failure; default 0. */
  after?: number
  /** Failures before it is over; default Infinity. */
  times?: number
}

export interface FaultDiskOptions {
  /** Decides what a power cut keeps. */
  seed: number
  /** The machine loses power in this changing operation (write, create, truncate, rename, remove, sync), counted from 1. */
  crashAt?: number
  /** Bytes in all files; a write beyond fails with ENOSPC after writing what fits. */
  capacityBytes?: number
  /** Runs the end of a sync; default queueMicrotask. */
  soon?: (callback: () => void) => void
  /** What a power cut leaves of un-synced writes: all, none, some whole ones, or some sectors. Default: the seed chooses. */
  keeps?: 'all' | 'none' | 'some' | 'sectors'
}

const KEEPS = ['all', 'none', 'some', 'sectors'] as const

/** Thrown by every operation once the power is gone. */
export class PowerCut extends Error {}

/**
 * A disk in memory that knows what is durable: un-synced writes survive a power cut whole, in part, or not at all, in any
 * combination, and so do un-synced names. The seed decides; the same seed decides the same way.
 */
export class FaultDisk implements Disk {
  #names: Names = new Map()
  #durableNames: Names = new Map()
  /** Names changed and not synced yet, in order. */
  #unsyncedNames: { directory: string; apply(names: Names): unknown }[] = []
  readonly #locked = new Set<string>()
  readonly #faults: { fault: Fault; seen: number; failed: number }[] = []
  readonly #held: (() => void)[] = []
  readonly #options: FaultDiskOptions
  #crashAt: number | undefined
  #dead = false
  /** Changing operations so far. */
  operations = 0
  /** Syncs answer before anything is durable (and nothing ever is). */
  syncsLie = false
  directorySyncsLie = false
  /** Syncs wait for {@link releaseSyncs}. */
  holdSyncs = false
  capacityBytes: number

  constructor(options: FaultDiskOptions) {
    this.#options = options
    this.#crashAt = options.crashAt
    this.capacityBytes = options.capacityBytes ?? Infinity
  }

  get isDead(): boolean {
    return this.#dead
  }

  fail(fault: Fault): { stop(): void } {
    const entry = { fault, seen: 0, failed: 0 }
    this.#faults.push(entry)
    return { stop: () => void this.#faults.splice(this.#faults.indexOf(entry), 1) }
  }

  /** The machine loses power in its `operations`-th changing operation from now, 1 = the next one. */
  crashIn(operations: number): void {
    this.#crashAt = this.operations + operations
  }

  releaseSyncs(): void {
    for (const finish of this.#held.splice(0)) finish()
  }

  /** Inverts one bit of a file, also of its durable bytes. */
  flipBit(path: string, bit: number): void {
    const file = this.#file(path)
    for (const bytes of new Set([file.seen, file.durable])) {
      const byte = Buffer.alloc(1)
      if (bytes.read(byte, 0, 1, bit >>> 3) === 0) continue
      byte[0]! ^= 1 << (bit & 7)
      bytes.write(byte, 0, 1, bit >>> 3)
    }
  }

  /** The process dies, the machine goes on: the next process sees every write. */
  killed(options: Partial<FaultDiskOptions> = {}): FaultDisk {
    this.#dead = true
    return this.#next(options, (next) => {
      next.#names = this.#names
      next.#durableNames = this.#durableNames
      next.#unsyncedNames = this.#unsyncedNames
    })
  }

  /** The power goes: the next start sees what was synced and whatever else `seed` lets through. */
  powerCut(options: Partial<FaultDiskOptions> = {}): FaultDisk {
    const next = this.survivors(options)
    this.#dead = true
    return next
  }

  /** What a power cut now would leave; this disk goes on. */
  survivors(options: Partial<FaultDiskOptions> = {}): FaultDisk {
    const chance = seededChance(options.seed ?? this.#options.seed)
    // The extremes find other mistakes than the mixtures.
    const drawn = KEEPS[Math.floor(chance() * KEEPS.length)]
    const mode = options.keeps ?? drawn
    const keeps = (): boolean => (mode === 'all' ? true : mode === 'none' ? false : chance() < 0.5)
    return this.#next(options, (next) => {
      const names: Names = new Map(this.#durableNames)
      for (const change of this.#unsyncedNames) if (keeps()) change.apply(names)
      for (const [path, file] of names) {
        const bytes = file.durable.copy()
        for (const change of file.unsynced) replay(bytes, change, keeps, mode === 'sectors')
        next.#names.set(path, { seen: bytes, durable: bytes.copy(), unsynced: [], settled: 0 })
      }
      next.#durableNames = new Map(next.#names)
    })
  }

  open(path: string, mode: 'read' | 'write' | 'create' | 'exclusive'): DiskFile {
    this.#meet('open', path)
    const known = this.#names.get(path)
    if (known !== undefined && mode === 'exclusive') throw diskError('EEXIST', path)
    if (known === undefined && (mode === 'read' || mode === 'write')) throw diskError('ENOENT', path)
    const file = known ?? { seen: new MemoryBytes(), durable: new MemoryBytes(), unsynced: [], settled: 0 }
    if (known === undefined) this.#change((names) => names.set(path, file), directoryOf(path))
    return this.#handle(path, file)
  }

  exists(path: string): boolean {
    return this.#names.has(path) || this.list(path).length > 0
  }

  list(directory: string): string[] {
    if (this.#dead) throw new PowerCut()
    return listNames(this.#names.keys(), directory)
  }

  makeDirectory(_path: string): void {
    if (this.#dead) throw new PowerCut()
  }

  remove(path: string): void {
    this.#meet('remove', path)
    this.#file(path)
    this.#change((names) => names.delete(path), directoryOf(path))
  }

  rename(from: string, to: string): void {
    this.#meet('rename', from)
    const file = this.#file(from)
    this.#change((names) => void (names.delete(from), names.set(to, file)), directoryOf(to))
  }

  discard(path: string, done: (error: Error | null) => void): void {
    let failure: Error | null = null
    try {
      this.remove(path)
    } catch (error) {
      failure = error as Error
    }
    this.#later(() => done(failure))
  }

  syncDirectory(directory: string, done: (error: Error | null) => void): void {
    let failure: Error | null = null
    const covered = new Set(this.#unsyncedNames)
    try {
      this.#meet('syncDirectory', directory)
      this.#count()
    } catch (error) {
      failure = error as Error
    }
    this.#later(() => {
      if (failure === null) this.#settleNames(directory, covered)
      done(failure)
    })
  }

  syncDirectoryNow(directory: string): void {
    this.#meet('syncDirectory', directory)
    this.#count()
    this.#settleNames(directory, new Set(this.#unsyncedNames))
  }

  lock(directory: string): { release(): void } {
    if (this.#dead) throw new PowerCut()
    return lockIn(this.#locked, directory)
  }

  #handle(path: string, file: FaultFile): DiskFile {
    return {
      write: (bytes, start, end, position) => this.#write(path, file, bytes.subarray(start, end), position),
      read: (bytes, start, end, position) => {
        this.#meet('read', path)
        return file.seen.read(bytes, start, end, position)
      },
      sync: (done) => this.#sync(path, file, done),
      syncNow: () => {
        this.#meet('sync', path)
        this.#count()
        this.#settle(file, file.settled + file.unsynced.length, true)
      },
      truncate: (size) => {
        this.#meet('truncate', path)
        file.unsynced.push({ size })
        this.#count()
        file.seen.truncate(size)
      },
      size: () => file.seen.size,
      close: () => {},
    }
  }

  #write(path: string, file: FaultFile, bytes: Uint8Array, position: number): void {
    this.#meet('write', path)
    const grows = Math.max(0, position + bytes.length - file.seen.size)
    const room = this.capacityBytes === Infinity ? Infinity : this.capacityBytes - this.#bytesInUse()
    const fits = grows <= room ? bytes.length : Math.max(0, bytes.length - (grows - room))
    const kept = Buffer.from(bytes.subarray(0, fits))
    file.unsynced.push({ position, bytes: kept })
    this.#count()
    file.seen.write(kept, 0, kept.length, position)
    if (fits < bytes.length) throw diskError('ENOSPC', path)
  }

  #sync(path: string, file: FaultFile, done: (error: Error | null) => void): void {
    let failure: Error | null = null
    try {
      this.#meet('sync', path)
      this.#count()
    } catch (error) {
      failure = error as Error
    }
    const covered = file.settled + file.unsynced.length
    this.#later(() => {
      // What a failed sync did not write is marked clean by the kernel: no later sync brings it to the disk.
      this.#settle(file, covered, failure === null)
      done(failure)
    })
  }

  /** The end of what runs beside the main thread. */
  #later(callback: () => void): void {
    const finish = (): void => {
      if (!this.#dead) callback()
    }
    if (this.holdSyncs) this.#held.push(finish)
    else (this.#options.soon ?? queueMicrotask)(finish)
  }

  #settleNames(directory: string, covered: ReadonlySet<{ directory: string; apply: (names: Names) => unknown }>): void {
    if (this.directorySyncsLie) return
    const settles = (change: { directory: string }): boolean =>
      change.directory === directory && covered.has(change as { directory: string; apply: (names: Names) => unknown })
    for (const change of this.#unsyncedNames) if (settles(change)) change.apply(this.#durableNames)
    this.#unsyncedNames = this.#unsyncedNames.filter((change) => !settles(change))
  }

  #settle(file: FaultFile, covered: number, durable: boolean): void {
    if (this.syncsLie || covered <= file.settled) return
    const settled = file.unsynced.splice(0, covered - file.settled)
    file.settled = covered
    if (durable) for (const change of settled) replay(file.durable, change, () => true, false)
  }

  #change(apply: (names: Names) => unknown, directory: string): void {
    this.#unsyncedNames.push({ directory, apply })
    this.#count()
    apply(this.#names)
  }

  #meet(operation: Operation, path: string): void {
    if (this.#dead) throw new PowerCut()
    for (const entry of this.#faults) {
      const { fault } = entry
      if (fault.operation !== operation || (fault.path !== undefined && !fault.path.test(path))) continue
      if (entry.seen++ < (fault.after ?? 0) || entry.failed >= (fault.times ?? Infinity)) continue
      entry.failed++
      throw diskError(fault.code, `${operation} ${path}`)
    }
  }

  #count(): void {
    this.operations++
    if (this.operations !== this.#crashAt) return
    this.#dead = true
    throw new PowerCut(`in operation ${this.operations}`)
  }

  #bytesInUse(): number {
    let sum = 0
    for (const file of this.#names.values()) sum += file.seen.size
    return sum
  }

  #file(path: string): FaultFile {
    const file = this.#names.get(path)
    if (file === undefined) throw diskError('ENOENT', path)
    return file
  }

  #next(options: Partial<FaultDiskOptions>, fill: (next: FaultDisk) => void): FaultDisk {
    const { soon } = this.#options
    const next = new FaultDisk({ seed: this.#options.seed, ...(soon && { soon }), ...options })
    fill(next)
    return next
  }
}

function replay(bytes: MemoryBytes, change: Change, keeps: () => boolean, bySector: boolean): void {
  if ('size' in change) {
    if (keeps()) bytes.truncate(change.size)
    return
  }
  if (!bySector) {
    if (keeps()) bytes.write(change.bytes, 0, change.bytes.length, change.position)
    return
  }
  // Cut where the sectors of the file end, so that a record is torn inside itself.
  for (let at = 0; at < change.bytes.length; ) {
    const end = Math.min(change.bytes.length, at + SECTOR_BYTES - ((change.position + at) % SECTOR_BYTES))
    if (keeps()) bytes.write(change.bytes, at, end, change.position + at)
    at = end
  }
}

function directoryOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'))
}

/** Numbers in [0, 1) that follow from the seed (mulberry32). */
export function seededChance(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}
