import type { Disk, DiskFile } from './disk.ts'
import { headerEntry, syncedEntry } from './journal-entry.ts'
import { offsetName, offsetOfName } from './log-entry.ts'

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
  const snapshot = Buffer.concat([headerEntry(generation), ...entries])
  // Whoever finds a snapshot damaged finds behind it that it was whole once.
  const bytes = Buffer.concat([snapshot, syncedEntry(snapshot.length)])
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
    throw error
  }
  return { file, size: bytes.length }
}

/** Removes every other file of `directory`. */
export function removeOthers(disk: Disk, directory: string, generation: number): void {
  const others = disk.list(directory).filter((name) => name !== offsetName(generation))
  for (const name of others) disk.remove(`${directory}/${name}`)
  if (others.length > 0) disk.syncDirectoryNow(directory)
}
