import type { Timer } from '@tandemmq/remoting'
import type { DiskFile } from './disk.ts'
import { encodeEntry, ENTRY_BYTES_MAX, syncedEntry } from './journal-entry.ts'
import { NextGeneration, removeOthers } from './journal-file.ts'
import type { Endable, JournalOptions, JournalOwner, Waiter } from './journal-options.ts'
import { endable } from './journal-options.ts'
import { nextGeneration, recoverJournal } from './journal-recovery.ts'
import { JournalTables } from './journal-tables.ts'
import { offsetName } from './log-entry.ts'
import { isOutOfRoom, messageOf, StoreError } from './store-error.ts'
import { UnwrittenEntries } from './unwritten-entries.ts'

/** Longest time an entry waits in memory. */
const WRITE_DELAY_MS = 100
/** Longest time a written entry waits for the disk when nobody asked for it to be durable. */
const SYNC_DELAY_MS = 1_000
const COMPACT_BYTES_MIN = 1 << 20
const COMPACT_FACTOR = 4

/**
 * Everything the log does not say (topics, groups, consumer offsets, ...) in one append-only file with checksums. When it has
 * grown beyond max(1 MiB, 4 x its last snapshot) a new generation is written beside it and takes its place by a rename.
 */
export class StateJournal {
  readonly #options: JournalOptions
  readonly #tables = new JournalTables()
  readonly #unwritten = new UnwrittenEntries()
  #generation: number
  #file: DiskFile
  #size: number
  #synced: number
  /** What the file itself says is durable, so that recovery can tell a torn tail from damage. */
  #noted: number
  #snapshotBytes: number
  /** No room at the last write: the timer tries again. */
  #isStarved = false
  /** Who waits for an entry that is in the file. */
  #unsynced: Waiter[] = []
  #syncing: Promise<void> | undefined
  #writeTimer: Timer | undefined
  #syncTimer: Timer | undefined
  /** Being written, while the running generation goes on; `late` was appended since its snapshot. */
  #next: { writer: NextGeneration; late: Buffer[] } | undefined
  /** The last entries are on their way to the next generation: what comes now waits until it counts. */
  #switching: Endable | undefined
  #broken: Error | undefined
  #closed = false
  /** Byte ranges given up because the caller accepts damage. */
  readonly damage: readonly string[]

  /** @throws {StoreError} LOG_DAMAGED when durable bytes are not valid any more */
  constructor(options: JournalOptions) {
    this.#options = options
    const { file, generation, size, snapshotBytes, noted, damage } = recoverJournal(options, this.#tables)
    this.#file = file
    this.#generation = generation
    this.#size = this.#synced = size
    this.#snapshotBytes = snapshotBytes
    this.#noted = noted
    this.damage = damage
  }

  /** Gives `owner` all entries of `table`, within the call, and asks it for snapshots from now on. */
  register(table: string, owner: JournalOwner): void {
    this.#tables.claim(table, owner)
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
    this.#tables.keep(table, entry)
    this.#unwritten.push(bytes)
    this.#writeTimer ??= this.#options.clock.setTimer(WRITE_DELAY_MS, () => this.#onWriteTimer())
  }

  /** As append; resolves when the entry is on the disk. Entries of one moment share one sync. */
  appendDurable(table: string, entry: unknown): Promise<void> {
    return new Promise((resolve, reject) => {
      this.append(table, entry)
      this.#unwritten.wait({ resolve, reject })
    })
  }

  /**
   * Keeps entries that free room once they are on the disk; resolves then. On a full disk they overtake what waits for room, so
   * their order among others of the table must not matter. Their owner's snapshot holds them already.
   */
  appendFreeing(table: string, entries: readonly unknown[]): Promise<void> {
    this.#refuseIfOver()
    for (const entry of entries) this.#unwritten.pushFreeing(encodeEntry(table, entry))
    return new Promise((resolve, reject) => this.#unwritten.waitForFreeing({ resolve, reject }))
  }

  /** Writes what is buffered, with one write, and starts a sync for who waits. */
  commit(): void {
    if (this.#broken !== undefined || this.#closed) return
    const isWritten = this.#isStarved ? this.#writeFreeing() : this.#unwritten.isEmpty || this.#write()
    if (isWritten && this.#unsynced.length > 0) this.#sync()
  }

  /** Writes and syncs everything on this thread. */
  commitNow(): void {
    this.#refuseIfOver()
    if (!this.#unwritten.isEmpty) this.#write()
    if (!this.#unwritten.isEmpty && !this.#writeWithReserve())
      throw new StoreError('DISK_FULL', 'no room for the state journal')
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
        this.#guard(() => this.#writeLast(syncedEntry(this.#synced)))
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
    for (const waiter of [...this.#unsynced.splice(0), ...this.#unwritten.fence()]) waiter.reject(failure)
  }

  get bytes(): number {
    return this.#size
  }

  get generation(): number {
    return this.#generation
  }

  #onWriteTimer(): void {
    this.#writeTimer = undefined
    this.#isStarved = false
    this.commit()
  }

  /** @returns false when the disk is full or broken */
  #write(): boolean {
    this.#writeTimer?.cancel()
    this.#writeTimer = undefined
    if (this.#switching !== undefined) return true
    try {
      this.#requireRoom()
      if (this.#unwritten.isBehind) this.#compactNow()
      else if (this.#size > Math.max(COMPACT_BYTES_MIN, COMPACT_FACTOR * this.#snapshotBytes)) this.#compact()
      const entries = this.#unwritten.all
      if (entries.length > 0) {
        const note = this.#noted < this.#synced ? [syncedEntry(this.#synced)] : []
        this.#writeBytes(Buffer.concat([...note, ...entries]))
        this.#noted = this.#synced
        this.#next?.late.push(...entries)
      }
    } catch (error) {
      return this.#refuse(error)
    }
    this.#isStarved = false
    this.#unsynced.push(...this.#unwritten.written())
    this.#syncTimer ??= this.#options.clock.setTimer(SYNC_DELAY_MS, () => {
      this.#syncTimer = undefined
      this.#sync()
    })
    return true
  }

  #writeBytes(bytes: Buffer): void {
    this.#file.write(bytes, 0, bytes.length, this.#size)
    this.#size += bytes.length
  }

  /** What was kept for entries that free room is not taken by others: it comes back first. */
  #requireRoom(): void {
    if (this.#options.reserve?.restore() === false) throw new StoreError('DISK_FULL', 'no room for the reserve')
  }

  /** The entries that free room, alone, in the room that was kept for them. @returns false when there are none, or no room */
  #writeFreeing(): boolean {
    if (!this.#unwritten.hasFreeing || this.#switching !== undefined) return false
    try {
      // The part of a refused write behind the end takes room, and would lie behind these entries.
      this.#file.truncate(this.#size)
      this.#options.reserve?.spend()
      this.#writeBytes(Buffer.concat(this.#unwritten.freeing))
    } catch (error) {
      if (!isOutOfRoom(error)) this.#break(error)
      return false
    }
    this.#unsynced.push(...this.#unwritten.freed())
    return true
  }

  #writeLast(bytes: Buffer): void {
    try {
      this.#file.write(bytes, 0, bytes.length, this.#size)
    } catch (error) {
      if (!isOutOfRoom(error) || this.#options.reserve === undefined) throw error
      this.#options.reserve.spend()
      this.#file.write(bytes, 0, bytes.length, this.#size)
    }
  }

  /** The last write of all may use the reserve: the next start makes a new one. */
  #writeWithReserve(): boolean {
    const { reserve } = this.#options
    if (this.#broken !== undefined || reserve === undefined || this.#unwritten.isBehind) return false
    try {
      reserve.spend()
      this.#writeBytes(Buffer.concat(this.#unwritten.all))
    } catch (error) {
      if (!isOutOfRoom(error)) this.#break(error)
      return false
    }
    this.#unsynced.push(...this.#unwritten.written())
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
    const writer = new NextGeneration(disk, directory, this.#generation + 1, this.#tables.snapshot())
    const next = { writer, late: [] as Buffer[] }
    // What waits now is in the snapshot: it goes to the running generation only.
    const known = this.#unwritten.all.length
    this.#next = next
    writer.write(clock, (error) => {
      if (this.#broken !== undefined || this.#closed) return writer.file.close()
      if (this.#next !== next) return this.#abandon(writer)
      if (error !== null) return this.#giveUp(next.writer, error)
      try {
        next.writer.append(next.late.slice(known))
      } catch (failure) {
        return this.#giveUp(next.writer, failure)
      }
      this.#switching = endable()
      next.writer.publish(clock, (failure) => this.#switch(next.writer, failure))
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

  /** A refused write ended it. Its name may be in use again already. */
  #abandon(writer: NextGeneration): void {
    writer.file.close()
    if (this.#next === undefined) this.#guard(() => writer.discard())
  }

  /** Without room the running generation simply grows on. */
  #giveUp(writer: NextGeneration, error: unknown): void {
    writer.file.close()
    this.#next = undefined
    if (!isOutOfRoom(error)) return this.#break(error)
    this.#guard(() => writer.discard())
  }

  #compactNow(): void {
    this.#next = undefined
    const old = this.#file
    const { file, generation, size } = nextGeneration(this.#options, this.#tables, this.#generation)
    this.#file = file
    this.#generation = generation
    this.#size = this.#synced = this.#noted = this.#snapshotBytes = size
    this.#unwritten.inSnapshot()
    // A sync that runs on the old file closes it when it is done.
    if (this.#syncing === undefined) old.close()
    removeOthers(this.#options.disk, this.#options.directory, this.#generation)
  }

  /** @returns true when entries that free room were written all the same */
  #refuse(error: unknown): boolean {
    if (!isOutOfRoom(error)) {
      this.#break(error)
      return false
    }
    // Nothing is in doubt: the same bytes go to the same place when there is room.
    this.#unwritten.refused()
    this.#isStarved = true
    // A second file has even less room; and what waits would reach it in another order than this one.
    this.#next = undefined
    this.#writeTimer?.cancel()
    this.#writeTimer = this.#options.clock.setTimer(SYNC_DELAY_MS, () => this.#onWriteTimer())
    return this.#writeFreeing()
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
