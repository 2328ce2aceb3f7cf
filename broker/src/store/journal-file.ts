import type { Clock } from '@tandemmq/remoting'
import type { Disk, DiskFile } from './disk.ts'
import { headerEntry, syncedEntry } from './journal-entry.ts'
import { offsetName, offsetOfName } from './log-entry.ts'
import { isOutOfHandles, isOutOfRoom } from './store-error.ts'

/** One write of a generation: about a millisecond. */
const PIECE_BYTES = 1 << 20
const PAUSE_MS = 4
/** How often it is tried again when the process had no handle left to open the folder. */
const NAME_RETRY_MS = 500

/** @returns the newest generation in `directory`, 0 without one. Files that never got their name do not count. */
export function newestGeneration(disk: Disk, directory: string): number {
  return Math.max(0, ...disk.list(directory).map(offsetOfName))
}

/**
 * Writes a journal file that begins with a snapshot; when this returns, file and name are durable.
 * @returns the open file and its bytes
 */
export function writeGeneration(
  disk: Disk,
  directory: string,
  generation: number,
  entries: readonly Buffer[],
): { file: DiskFile; size: number } {
  const bytes = encodeGeneration(generation, entries)
  const path = `${directory}/${offsetName(generation)}`
  const temporary = `${path}.tmp`
  if (disk.exists(temporary)) disk.remove(temporary)
  const file = disk.open(temporary, 'exclusive')
  try {
    file.write(bytes, 0, bytes.length, 0)
    file.syncNow()
    disk.rename(temporary, path)
    disk.syncDirectoryNow(directory)
  } catch (error) {
    file.close()
    if (isOutOfRoom(error) && disk.exists(temporary)) disk.remove(temporary)
    throw error
  }
  return { file, size: bytes.length }
}

/** Whoever finds a snapshot damaged finds behind it that it was whole once. */
function encodeGeneration(generation: number, entries: readonly Buffer[]): Buffer {
  const snapshot = Buffer.concat([headerEntry(generation), ...entries])
  return Buffer.concat([snapshot, syncedEntry(snapshot.length)])
}

/**
 * A generation that is written beside the running one. It counts from {@link publish} on; until then what is appended to the
 * running one is appended here too.
 */
export class NextGeneration {
  readonly #disk: Disk
  readonly #directory: string
  readonly generation: number
  readonly file: DiskFile
  /** Bytes of the snapshot, and of everything written. */
  readonly snapshotBytes: number
  size = 0
  readonly #temporary: string
  #snapshot: Buffer

  /** @throws what the disk throws */
  constructor(disk: Disk, directory: string, generation: number, entries: readonly Buffer[]) {
    this.#disk = disk
    this.#directory = directory
    this.generation = generation
    this.#snapshot = encodeGeneration(generation, entries)
    this.snapshotBytes = this.#snapshot.length
    this.#temporary = `${directory}/${offsetName(generation)}.tmp`
    if (disk.exists(this.#temporary)) disk.remove(this.#temporary)
    this.file = disk.open(this.#temporary, 'exclusive')
  }

  /** Writes the snapshot in pieces, with pauses, and syncs it. */
  write(clock: Clock, done: (error: unknown) => void): void {
    const step = (): void => {
      try {
        const end = Math.min(this.#snapshot.length, this.size + PIECE_BYTES)
        this.file.write(this.#snapshot, this.size, end, this.size)
        this.size = end
        if (end < this.#snapshot.length) return void clock.setTimer(PAUSE_MS, step)
        this.#snapshot = Buffer.alloc(0)
        this.file.sync((error) => done(error))
      } catch (error) {
        done(error)
      }
    }
    step()
  }

  /** @throws what the disk throws */
  append(entries: readonly Buffer[]): void {
    if (entries.length === 0) return
    const bytes = Buffer.concat(entries)
    this.file.write(bytes, 0, bytes.length, this.size)
    this.size += bytes.length
  }

  /** Frees the room of the file, which is closed and has no name yet. */
  discard(): void {
    if (this.#disk.exists(this.#temporary)) this.#disk.remove(this.#temporary)
  }

  /** Syncs what was appended and gives the file its name, durably. */
  publish(clock: Clock, done: (error: unknown) => void): void {
    this.file.sync((failure) => {
      if (failure !== null) return done(failure)
      try {
        this.#disk.rename(this.#temporary, `${this.#directory}/${offsetName(this.generation)}`)
      } catch (error) {
        return done(error)
      }
      this.#syncName(clock, done)
    })
  }

  /** From the rename on there is no way back: the next start would take this file, whatever the running one got since. */
  #syncName(clock: Clock, done: (error: unknown) => void): void {
    this.#disk.syncDirectory(this.#directory, (error) => {
      if (isOutOfHandles(error)) clock.setTimer(NAME_RETRY_MS, () => this.#syncName(clock, done))
      else done(error === null ? null : new Error(`${this.#directory}: ${error.message}`, { cause: error }))
    })
  }
}

/** Removes every other file of `directory`. */
export function removeOthers(disk: Disk, directory: string, generation: number): void {
  const others = disk.list(directory).filter((name) => name !== offsetName(generation))
  for (const name of others) disk.remove(`${directory}/${name}`)
  if (others.length > 0) disk.syncDirectoryNow(directory)
}
