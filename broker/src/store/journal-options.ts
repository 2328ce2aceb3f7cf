import type { Clock } from '@tandemmq/remoting'
import type { Disk } from './disk.ts'
import type { RoomReserve } from './room-reserve.ts'

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
  /** Given up for {@link StateJournal.appendFreeing} when the disk is full. */
  reserve?: RoomReserve
  /** A write or sync failed; nothing is written any more. */
  onBroken(error: Error): void
}

/** Who waits for an entry to be on the disk. */
export interface Waiter {
  resolve(): void
  reject(error: Error): void
}

export interface Endable {
  done: Promise<void>
  end(): void
}

/** A promise that is resolved from outside. */
export function endable(): Endable {
  let end = (): void => {}
  const done = new Promise<void>((resolve) => {
    end = resolve
  })
  return { done, end }
}
