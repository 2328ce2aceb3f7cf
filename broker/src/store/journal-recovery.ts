import type { DiskFile } from './disk.ts'
import type { JournalContent } from './journal-entry.ts'
import { decodeJournal } from './journal-entry.ts'
import { newestGeneration, removeOthers, writeGeneration } from './journal-file.ts'
import type { JournalOptions } from './journal-options.ts'
import type { JournalTables } from './journal-tables.ts'
import { offsetName } from './log-entry.ts'
import { StoreError } from './store-error.ts'

/** The newest file of a journal, all of it on the disk. */
export interface OpenJournal {
  file: DiskFile
  generation: number
  size: number
  snapshotBytes: number
  /** What the file itself says is durable. */
  noted: number
  /** Byte ranges given up because the caller accepts damage. */
  damage: string[]
}

/**
 * Reads the newest generation into `tables`, or begins the first one.
 * @throws {StoreError} LOG_DAMAGED when durable bytes are not valid any more
 */
export function recoverJournal(options: JournalOptions, tables: JournalTables): OpenJournal {
  const { disk, directory, isNew, acceptDamage } = options
  disk.makeDirectory(directory)
  const generation = newestGeneration(disk, directory)
  const missing = `the state journal in ${directory} is missing`
  if (generation === 0 && !isNew && !acceptDamage) throw new StoreError('LOG_DAMAGED', missing)
  const opened =
    generation === 0
      ? { ...nextGeneration(options, tables, generation), damage: isNew ? [] : [missing] }
      : load(options, tables, generation)
  removeOthers(disk, directory, opened.generation)
  return opened
}

/** Snapshot of every table in a new file, durable with its name before it counts. */
export function nextGeneration(
  { disk, directory }: JournalOptions,
  tables: JournalTables,
  before: number,
): Omit<OpenJournal, 'damage'> {
  const generation = before + 1
  const { file, size } = writeGeneration(disk, directory, generation, tables.snapshot())
  return { file, generation, size, snapshotBytes: size, noted: size }
}

function load(options: JournalOptions, tables: JournalTables, generation: number): OpenJournal {
  const path = `${options.directory}/${offsetName(generation)}`
  const file = options.disk.open(path, 'write')
  const bytes = Buffer.allocUnsafe(file.size())
  const read = file.read(bytes, 0, bytes.length, 0)
  const content = decodeJournal(bytes.subarray(0, read))
  for (const [table, entry] of content.entries) tables.keep(table, entry)
  if (content.end === 0 || content.damagedUntil > content.end) {
    file.close()
    const damage = acceptedDamage(options, path, read, content)
    for (const [table, entry] of content.salvaged) tables.keep(table, entry)
    return { ...nextGeneration(options, tables, generation), damage }
  }
  if (content.end < bytes.length) file.truncate(content.end)
  // If its sync failed, the page cache alone has it, as clean pages: only another write brings it to the disk.
  const { synced, end } = content
  if (synced < end) file.write(bytes, synced, end, synced)
  file.syncNow()
  return { file, generation, size: end, snapshotBytes: content.snapshotEnd, noted: 0, damage: [] }
}

/** @throws {StoreError} LOG_DAMAGED unless the caller accepts to start with what is left */
function acceptedDamage(options: JournalOptions, path: string, size: number, content: JournalContent): string[] {
  const range = `bytes ${content.end} to ${Math.max(content.damagedUntil, content.end === 0 ? size : 0)} of ${path}`
  if (!options.acceptDamage) throw new StoreError('LOG_DAMAGED', `${range} are damaged`)
  return [range]
}
