import type { Clock, Timer } from '@tandemmq/remoting'
import type { Disk, DiskFile } from './disk.ts'
import type { JournalContent } from './journal-entry.ts'
import { decodeJournal, encodeEntry, ENTRY_BYTES_MAX, syncedEntry } from './journal-entry.ts'
import { newestGeneration, NextGeneration, removeOthers, writeGeneration } from './journal-file.ts'
import { offsetName } from './log-entry.ts'
import { isOutOfRoom, messageOf, StoreError } from './store-error.ts'

/** Longest time an entry waits in memory. */
const WRITE_DELAY_MS = 100
/** Longest time a written entry waits for the disk when nobody asked for it to be durable. */
const SYNC_DELAY_MS = 1_000
const COMPACT_BYTES_MIN = 1 << 20
const COMPACT_FACTOR = 4
/** On a full disk entries are not kept beyond this: the next file written is a snapshot, which holds them all. */
const BUFFERED_BYTES_MAX = 4 << 20

/** A table of small entries that survives the process. */
export interface JournalOwner {
  /** One entry, in the order they were appended. The same entry may come twice around a snapshot: last one wins. */
  apply(entry: unknown): void
  /** Entries that rebuild the whole table. */
  snapshot(): Iterable<unknown>
}

export interface JournalOptions {
  disk: Disk
  clock: Clock
  /** Folder of the journal's files alone. */
  directory: string
  /** Start with what is readable instead of refusing. */
  acceptDamage: boolean
  /** There may be no file yet. */
  isNew: boolean
  /** A write or sync failed; nothing is written any more. */
  onBroken(error: Error): void
}

interface Waiter {
  resolve(): void
  reject(error: Error): void
}

/**
 * Everything the log does not say (topics, groups, consumer offsets, ...) in one append-only file with checksums. When it has
 * grown beyond max(1 MiB, 4 x its last snapshot) a new generation is written beside it and takes its place by a rename.
 */
export class StateJournal {
  readonly #options: JournalOptions
  readonly #owners = new Map<string, JournalOwner>()
  /** Read from the file and not yet asked for; kept through snapshots, so that no table is lost to a program that lacks it. */
  readonly #unclaimed = new Map<string, unknown[]>()
  #generation = 0
  #file: DiskFile
  #size = 0
  #synced = 0
  /** What the file itself says is durable, so that recovery can tell a torn tail from damage. */
  #noted = 0
  #snapshotBytes = 0
  #buffer: Buffer[] = []
  #buffered = 0
  /** The buffer was given up on a full disk: only a snapshot can go on from here. */
  #behind = false
  /** Who waits for an entry that is still in the buffer, and for one that is in the file. */
  #unwritten: Waiter[] = []
  #unsynced: Waiter[] = []
  #syncing: Promise<void> | undefined
  #writeTimer: Timer | undefined
  #syncTimer: Timer | undefined
  /** Being written, while the running generation goes on; `late` was appended since its snapshot. */
  #next: { writer: NextGeneration; late: Buffer[] } | undefined
  /** The last entries are on their way to the next generation: what comes now waits until it counts. */
  #switching: { done: Promise<void>; end(): void } | undefined
  #broken: Error | undefined
  #closed = false
  /** Byte ranges given up because the caller accepts damage. */
  readonly damage: string[] = []

  /** @throws {StoreError} LOG_DAMAGED when durable bytes are not valid any more */
  constructor(options: JournalOptions) {
    this.#options = options
    const { disk, directory } = options
    disk.makeDirectory(directory)
    this.#generation = newestGeneration(disk, directory)
    if (this.#generation === 0) {
      if (!options.isNew) this.#acceptMissing()
      this.#file = this.#nextGeneration()
    } else {
      const path = `${directory}/${offsetName(this.#generation)}`
      this.#file = disk.open(path, 'write')
      this.#load(path)
    }
    removeOthers(disk, directory, this.#generation)
  }

  /** Gives `owner` all entries of `table`, within the call, and asks it for snapshots from now on. */
  register(table: string, owner: JournalOwner): void {
    this.#owners.set(table, owner)
    const entries = this.#unclaimed.get(table) ?? []
    this.#unclaimed.delete(table)
    for (const entry of entries) owner.apply(entry)
  }

  /**
   * Keeps `entry` (anything JSON can say). In the file within 100 ms or at the next commit, on the disk about a second later.
   * @throws {StoreError} STORE_FENCED, STORE_CLOSED
   */
  append(table: string, entry: unknown): void {
    this.#refuseIfOver()
    const bytes = encodeEntry(table, entry)
    if (bytes.length > ENTRY_BYTES_MAX)
      throw new StoreError('MESSAGE_TOO_LARGE', `journal entry of ${bytes.length} bytes`)
    if (!this.#owners.has(table)) this.#keepUnclaimed(table, entry)
    if (!this.#behind) {
      this.#buffer.push(bytes)
      this.#buffered += bytes.length
    }
    this.#writeTimer ??= this.#options.clock.setTimer(WRITE_DELAY_MS, () => this.#onWriteTimer())
  }

  /** As append; resolves when the entry is on the disk. Entries of one moment share one sync. */
  appendDurable(table: string, entry: unknown): Promise<void> {
    return new Promise((resolve, reject) => {
      this.append(table, entry)
      this.#unwritten.push({ resolve, reject })
    })
  }

  /** Writes what is buffered, with one write, and starts a sync for who waits. */
  commit(): void {
    if (this.#broken !== undefined || this.#closed) return
    if (this.#hasUnwritten && !this.#write()) return
    if (this.#unsynced.length > 0) this.#sync()
  }

  /** Writes and syncs everything on this thread. */
  commitNow(): void {
    this.#refuseIfOver()
    if (this.#hasUnwritten && !this.#write()) throw new StoreError('DISK_FULL', 'no room for the state journal')
    this.#guard(() => this.#file.syncNow())
    const waiters = this.#unsynced.splice(0)
    this.#synced = this.#size
    for (const waiter of waiters) waiter.resolve()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    while (this.#syncing !== undefined || this.#switching !== undefined) {
      await this.#syncing
      await this.#switching?.done
    }
    try {
      if (this.#broken === undefined) {
        this.commitNow()
        // Says on the next start that nothing before it may be missing.
        const last = syncedEntry(this.#synced)
        this.#guard(() => this.#file.write(last, 0, last.length, this.#size))
        this.#guard(() => this.#file.syncNow())
      }
    } finally {
      this.#closed = true
      this.#cancelTimers()
      this.#file.close()
    }
  }

  /** No write and no sync from now on; who waits is told. */
  fence(error: Error): void {
    if (this.#broken !== undefined) return
    this.#broken = error
    this.#cancelTimers()
    const failure = new StoreError('STORE_FENCED', `the state journal is fenced: ${messageOf(error)}`, { cause: error })
    for (const waiter of [...this.#unsynced.splice(0), ...this.#unwritten.splice(0)]) waiter.reject(failure)
  }

  get bytes(): number {
    return this.#size
  }

  get generation(): number {
    return this.#generation
  }

  #load(path: string): void {
    const bytes = Buffer.allocUnsafe(this.#file.size())
    const read = this.#file.read(bytes, 0, bytes.length, 0)
    const content = decodeJournal(bytes.subarray(0, read))
    for (const [table, entry] of content.entries) this.#keepUnclaimed(table, entry)
    if (content.end === 0 || content.damagedUntil > content.end) return this.#acceptDamage(path, read, content)
    this.#size = content.end
    this.#snapshotBytes = content.snapshotEnd
    if (content.end < bytes.length) this.#file.truncate(content.end)
    this.#file.syncNow()
    this.#synced = this.#size
  }

  /** @throws {StoreError} LOG_DAMAGED unless the caller accepts to start with what is left */
  #acceptDamage(path: string, size: number, content: JournalContent): void {
    const range = `bytes ${content.end} to ${Math.max(content.damagedUntil, content.end === 0 ? size : 0)} of ${path}`
    this.#file.close()
    if (!this.#options.acceptDamage) throw new StoreError('LOG_DAMAGED', `${range} are damaged`)
    this.damage.push(range)
    for (const [table, entry] of content.salvaged) this.#keepUnclaimed(table, entry)
    this.#file = this.#nextGeneration()
  }

  #acceptMissing(): void {
    const what = `the state journal in ${this.#options.directory} is missing`
    if (!this.#options.acceptDamage) throw new StoreError('LOG_DAMAGED', what)
    this.damage.push(what)
  }

  get #hasUnwritten(): boolean {
    return this.#buffered > 0 || this.#behind
  }

  #keepUnclaimed(table: string, entry: unknown): void {
    const entries = this.#unclaimed.get(table)
    if (entries === undefined) this.#unclaimed.set(table, [entry])
    else entries.push(entry)
  }

  #onWriteTimer(): void {
    this.#writeTimer = undefined
    this.commit()
  }

  /** @returns false when the disk is full or broken */
  #write(): boolean {
    this.#writeTimer?.cancel()
    this.#writeTimer = undefined
    if (this.#switching !== undefined) return true
    try {
      if (this.#behind) this.#compactNow()
      else if (this.#size > Math.max(COMPACT_BYTES_MIN, COMPACT_FACTOR * this.#snapshotBytes)) this.#compact()
      if (this.#buffered === 0) return this.#noteWritten()
      const note = this.#noted < this.#synced ? [syncedEntry(this.#synced)] : []
      const bytes = Buffer.concat([...note, ...this.#buffer])
      this.#file.write(bytes, 0, bytes.length, this.#size)
      this.#size += bytes.length
      this.#noted = this.#synced
      this.#next?.late.push(...this.#buffer)
    } catch (error) {
      return this.#refuse(error)
    }
    this.#clearBuffer()
    this.#noteWritten()
    this.#syncTimer ??= this.#options.clock.setTimer(SYNC_DELAY_MS, () => {
      this.#syncTimer = undefined
      this.#sync()
    })
    return true
  }

  #noteWritten(): true {
    this.#unsynced.push(...this.#unwritten.splice(0))
    return true
  }

  #sync(): void {
    if (this.#syncing !== undefined || this.#broken !== undefined || this.#closed) return
    const waiters = this.#unsynced.splice(0)
    const target = this.#size
    const file = this.#file
    this.#syncing = new Promise((resolve) => {
      file.sync((error) => {
        this.#syncing = undefined
        resolve()
        if (file !== this.#file) file.close()
        if (error !== null) {
          this.#unsynced.unshift(...waiters)
          return this.#break(error)
        }
        if (file === this.#file) this.#synced = target
        for (const waiter of waiters) waiter.resolve()
        if (this.#unsynced.length > 0) this.#sync()
      })
    })
  }

  /** Starts the next generation beside this one. The snapshot holds what is in the buffer as well. */
  #compact(): void {
    if (this.#next !== undefined) return
    const { disk, directory, clock } = this.#options
    const writer = new NextGeneration(disk, directory, this.#generation + 1, this.#snapshotParts())
    const next = { writer, late: [] as Buffer[] }
    // What is in the buffer now is in the snapshot: it goes to the running generation only.
    const known = this.#buffer.length
    this.#next = next
    writer.write(clock, (error) => {
      if (this.#next !== next || this.#broken !== undefined || this.#closed) return writer.file.close()
      if (error !== null) return this.#giveUp(next.writer, error)
      try {
        next.writer.append(next.late.slice(known))
      } catch (failure) {
        return this.#giveUp(next.writer, failure)
      }
      this.#switching = waiting()
      next.writer.publish((failure) => this.#switch(next.writer, failure))
    })
  }

  /** The next generation has its name: it counts. */
  #switch(writer: NextGeneration, error: unknown): void {
    this.#switching?.end()
    this.#switching = undefined
    if (this.#broken !== undefined || this.#closed) return writer.file.close()
    if (error !== null) return this.#giveUp(writer, error)
    this.#next = undefined
    const old = this.#file
    this.#file = writer.file
    this.#generation = writer.generation
    this.#size = this.#synced = this.#noted = writer.size
    this.#snapshotBytes = writer.snapshotBytes
    // A sync that runs on the old file closes it when it is done.
    if (this.#syncing === undefined) old.close()
    const { disk, directory } = this.#options
    disk.discard(`${directory}/${offsetName(writer.generation - 1)}`, (failure) => {
      if (failure !== null) this.#break(failure)
    })
    this.commit()
  }

  /** Without room the running generation simply grows on. */
  #giveUp(writer: NextGeneration, error: unknown): void {
    writer.file.close()
    this.#next = undefined
    if (!isOutOfRoom(error)) this.#break(error)
  }

  #compactNow(): void {
    this.#next = undefined
    const old = this.#file
    this.#file = this.#nextGeneration()
    this.#clearBuffer()
    this.#behind = false
    // A sync that runs on the old file closes it when it is done.
    if (this.#syncing === undefined) old.close()
    removeOthers(this.#options.disk, this.#options.directory, this.#generation)
  }

  /** Snapshot of every table in a new file, durable with its name before it counts. */
  #nextGeneration(): DiskFile {
    const { disk, directory } = this.#options
    const { file, size } = writeGeneration(disk, directory, this.#generation + 1, this.#snapshotParts())
    this.#generation++
    this.#size = this.#synced = this.#noted = this.#snapshotBytes = size
    return file
  }

  #snapshotParts(): Buffer[] {
    const parts: Buffer[] = []
    for (const [table, entries] of this.#unclaimed) for (const entry of entries) parts.push(encodeEntry(table, entry))
    for (const [table, owner] of this.#owners) {
      for (const entry of owner.snapshot()) parts.push(encodeEntry(table, entry))
    }
    return parts
  }

  #clearBuffer(): void {
    this.#buffer = []
    this.#buffered = 0
  }

  #refuse(error: unknown): false {
    if (!isOutOfRoom(error)) {
      this.#break(error)
      return false
    }
    // Nothing is in doubt: the same bytes go to the same place when there is room.
    if (this.#buffered > BUFFERED_BYTES_MAX) {
      this.#clearBuffer()
      this.#behind = true
    }
    this.#writeTimer ??= this.#options.clock.setTimer(SYNC_DELAY_MS, () => this.#onWriteTimer())
    return false
  }

  #guard(action: () => void): void {
    try {
      action()
    } catch (error) {
      this.#break(error)
      throw new StoreError('STORE_FENCED', `state journal: ${messageOf(error)}`, { cause: error })
    }
  }

  #break(error: unknown): void {
    const broken = error instanceof Error ? error : new Error(messageOf(error))
    this.fence(broken)
    this.#options.onBroken(broken)
  }

  #refuseIfOver(): void {
    if (this.#broken !== undefined)
      throw new StoreError('STORE_FENCED', 'the state journal is fenced', { cause: this.#broken })
    if (this.#closed) throw new StoreError('STORE_CLOSED', 'the state journal is closed')
  }

  #cancelTimers(): void {
    this.#writeTimer?.cancel()
    this.#syncTimer?.cancel()
  }
}

function waiting(): { done: Promise<void>; end(): void } {
  let end = (): void => {}
  const done = new Promise<void>((resolve) => {
    end = resolve
  })
  return { done, end }
}
