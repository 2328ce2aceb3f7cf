/** An open file. Positions are bytes from its start, doubles below 2^53. */
export interface DiskFile {
  /** Writes all of `bytes[start, end)` at `position` before it returns (page cache, not durable). Throws on any error. */
  write(bytes: Uint8Array, start: number, end: number, position: number): void
  /** @returns bytes read, less than asked only at the end of the file */
  read(bytes: Uint8Array, start: number, end: number, position: number): number
  /** fdatasync off the main thread. After an error the file must never be synced again (fsync errors are reported once). */
  sync(done: (error: Error | null) => void): void
  /** fsync on this thread: start and close only. */
  syncNow(): void
  truncate(size: number): void
  size(): number
  close(): void
}

/** Files come in through here and nowhere else, so the same store runs on a real disk, in memory and on a failing disk. */
export interface Disk {
  /** Opens for reading and writing; `create` makes it when absent, `exclusive` fails when present. */
  open(path: string, mode: 'read' | 'write' | 'create' | 'exclusive'): DiskFile
  exists(path: string): boolean
  /** Names in `directory`, sorted; empty when it does not exist. */
  list(directory: string): string[]
  makeDirectory(path: string): void
  remove(path: string): void
  /** As remove, off the main thread: freeing a large file takes a while. */
  discard(path: string, done: (error: Error | null) => void): void
  rename(from: string, to: string): void
  /** Makes creations, renames and removals in `directory` durable, off the main thread. */
  syncDirectory(directory: string, done: (error: Error | null) => void): void
  /** The same on this thread: start and close only. */
  syncDirectoryNow(directory: string): void
  /** How full the file system of `directory` is, 0 to 1; absent where nobody can say. */
  usedRatio?(directory: string): number
  /**
   * Takes `directory` for this broker alone until `release`; freed by the death of the process.
   * @throws {TandemError} DIRECTORY_LOCKED, DIRECTORY_NOT_WRITABLE
   */
  lock(directory: string): { release(): void }
}
