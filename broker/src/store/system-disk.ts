import * as fs from 'node:fs'
import { join } from 'node:path'
import { lockDirectory } from './directory-lock.ts'
import type { Disk, DiskFile } from './disk.ts'

class SystemFile implements DiskFile {
  readonly #fd: number

  constructor(fd: number) {
    this.#fd = fd
  }

  write(bytes: Uint8Array, start: number, end: number, position: number): void {
    // One call may write less than asked (a signal, the last free bytes): the rest is written, or the error shows.
    while (start < end) {
      const written = fs.writeSync(this.#fd, bytes, start, end - start, position)
      start += written
      position += written
    }
  }

  read(bytes: Uint8Array, start: number, end: number, position: number): number {
    let read = 0
    while (start + read < end) {
      const count = fs.readSync(this.#fd, bytes, start + read, end - start - read, position + read)
      if (count === 0) break
      read += count
    }
    return read
  }

  sync(done: (error: Error | null) => void): void {
    fs.fdatasync(this.#fd, done)
  }

  syncNow(): void {
    fs.fsyncSync(this.#fd)
  }

  truncate(size: number): void {
    fs.ftruncateSync(this.#fd, size)
  }

  size(): number {
    return fs.fstatSync(this.#fd).size
  }

  close(): void {
    fs.closeSync(this.#fd)
  }
}

const FLAGS = { read: 'r', write: 'r+', create: fs.constants.O_RDWR | fs.constants.O_CREAT, exclusive: 'wx+' } as const

/** The files of the machine. Permissions are what the process's umask leaves of rw-rw-rw-. */
export const systemDisk: Disk = {
  open: (path, mode) => new SystemFile(fs.openSync(path, FLAGS[mode])),
  usedRatio(directory) {
    const { bavail, bfree, blocks } = fs.statfsSync(directory)
    // What only root may use is not free to this broker.
    const used = blocks - bfree
    return used + bavail === 0 ? 0 : used / (used + bavail)
  },
  exists: (path) => fs.existsSync(path),
  list(directory) {
    try {
      return fs.readdirSync(directory).toSorted()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw error
    }
  },
  makeDirectory(path) {
    const first = fs.mkdirSync(path, { recursive: true })
    // The name of a new directory lives in its parent: without this a power cut takes the directory with all its files.
    if (first !== undefined)
      for (let at = path; ; at = join(at, '..')) {
        syncDirectoryNow(join(at, '..'))
        if (at === first || at === join(at, '..')) break
      }
  },
  remove: (path) => fs.unlinkSync(path),
  discard: (path, done) => fs.unlink(path, done),
  rename: (from, to) => fs.renameSync(from, to),
  syncDirectory(directory, done) {
    fs.open(directory, 'r', (failure, fd) => {
      if (failure !== null) return done(failure)
      fs.fsync(fd, (error) => fs.close(fd, (closing) => done(error ?? closing ?? null)))
    })
  },
  syncDirectoryNow,
  lock: lockDirectory,
}

function syncDirectoryNow(directory: string): void {
  const fd = fs.openSync(directory, 'r')
  try {
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}
