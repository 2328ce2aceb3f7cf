import type { Disk } from './disk.ts'
import { messageOf, StoreError } from './store-error.ts'

/** Version of everything below the data directory. Goes up when an older program could misread it. */
export const FORMAT_VERSION = 1
const FORMAT_FILE = 'format'
const FORMAT_TEXT = `TandemMQ store format ${FORMAT_VERSION}\n`

/** A data directory that is ours alone until `release`. */
export interface DataDirectory {
  commitLog: string
  journal: string
  index: string
  checkpoint: string
  /** A file that only takes room. */
  reserve: string
  /** No store was ever completed here. */
  isNew: boolean
  /** Says that everything the format needs exists now. */
  complete(): void
  release(): void
}

/**
 * Takes `path` for this process and checks that its content is ours.
 * @throws {StoreError} DIRECTORY_LOCKED, DIRECTORY_NOT_WRITABLE, FORMAT_VERSION_UNKNOWN
 */
export function takeDirectory(disk: Disk, path: string): DataDirectory {
  try {
    disk.makeDirectory(path)
  } catch (error) {
    throw new StoreError('DIRECTORY_NOT_WRITABLE', `${path}: ${messageOf(error)}`, { cause: error })
  }
  const lock = disk.lock(path)
  try {
    const directory = {
      commitLog: `${path}/commitlog`,
      journal: `${path}/journal`,
      index: `${path}/index`,
      checkpoint: `${path}/checkpoint`,
      reserve: `${path}/reserve`,
      isNew: !disk.exists(`${path}/${FORMAT_FILE}`),
      complete: () => writeFormat(disk, path),
      release: () => lock.release(),
    }
    if (!directory.isNew) checkFormat(disk, path)
    else if (hasRecords(disk, directory.commitLog)) {
      throw new StoreError(
        'FORMAT_VERSION_UNKNOWN',
        `${path} holds a log and no file "${FORMAT_FILE}" that says its version`,
      )
    }
    return directory
  } catch (error) {
    lock.release()
    throw error
  }
}

function checkFormat(disk: Disk, path: string): void {
  const file = disk.open(`${path}/${FORMAT_FILE}`, 'read')
  const bytes = Buffer.alloc(128)
  const text = bytes.toString('utf8', 0, file.read(bytes, 0, bytes.length, 0))
  file.close()
  if (text === FORMAT_TEXT) return
  const found = /^TandemMQ store format (\d+)\n$/.exec(text)?.[1]
  const what = found === undefined ? `an unreadable file "${FORMAT_FILE}"` : `store format ${found}`
  throw new StoreError('FORMAT_VERSION_UNKNOWN', `${path} has ${what}; this program knows format ${FORMAT_VERSION}`)
}

/** A start that died before it was complete leaves empty files at most: those may be taken over. */
function hasRecords(disk: Disk, commitLog: string): boolean {
  return disk.list(commitLog).some((name) => {
    const file = disk.open(`${commitLog}/${name}`, 'read')
    const size = file.size()
    file.close()
    return size > 0
  })
}

function writeFormat(disk: Disk, path: string): void {
  const temporary = `${path}/${FORMAT_FILE}.tmp`
  const file = disk.open(temporary, 'create')
  const bytes = Buffer.from(FORMAT_TEXT)
  file.truncate(0)
  file.write(bytes, 0, bytes.length, 0)
  file.syncNow()
  file.close()
  disk.rename(temporary, `${path}/${FORMAT_FILE}`)
  disk.syncDirectoryNow(path)
}
