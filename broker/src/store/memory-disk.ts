import type { Disk, DiskFile } from './disk.ts'
import { StoreError } from './store-error.ts'

/** An error as the operating system would give it. */
export function diskError(code: string, detail: string): Error {
  return Object.assign(new Error(`${code}: ${detail}`), { code })
}

/** Bytes that grow. */
export class MemoryBytes {
  #bytes = Buffer.alloc(0)
  size = 0

  /** Memory held, bytes. */
  get capacity(): number {
    return this.#bytes.length
  }

  write(bytes: Uint8Array, start: number, end: number, position: number): void {
    this.#reserve(position + end - start)
    this.#bytes.set(bytes.subarray(start, end), position)
    this.size = Math.max(this.size, position + end - start)
  }

  read(bytes: Uint8Array, start: number, end: number, position: number): number {
    const count = Math.max(0, Math.min(end - start, this.size - position))
    bytes.set(this.#bytes.subarray(position, position + count), start)
    return count
  }

  truncate(size: number): void {
    this.#reserve(size)
    this.#bytes.fill(0, Math.min(size, this.size))
    this.size = size
  }

  copy(): MemoryBytes {
    const copy = new MemoryBytes()
    copy.write(this.#bytes, 0, this.size, 0)
    return copy
  }

  #reserve(size: number): void {
    if (size <= this.#bytes.length) return
    const grown = Buffer.alloc(Math.max(size, this.#bytes.length * 2, 4096))
    grown.set(this.#bytes)
    this.#bytes = grown
  }
}

export interface MemoryDiskOptions {
  /** Runs the end of a sync; default queueMicrotask. Give `clock.soon` of a virtual clock for runs that repeat. */
  soon?: (callback: () => void) => void
}

/** A disk that never fails and forgets everything with the process: for tests and simulations. */
export class MemoryDisk implements Disk {
  readonly #files = new Map<string, MemoryBytes>()
  readonly #locked = new Set<string>()
  readonly #soon: (callback: () => void) => void

  constructor(options: MemoryDiskOptions = {}) {
    this.#soon = options.soon ?? queueMicrotask
  }

  /** Memory its files hold, bytes. */
  get capacity(): number {
    let sum = 0
    for (const bytes of this.#files.values()) sum += bytes.capacity
    return sum
  }

  open(path: string, mode: 'read' | 'write' | 'create' | 'exclusive'): DiskFile {
    let bytes = this.#files.get(path)
    if (bytes !== undefined && mode === 'exclusive') throw diskError('EEXIST', path)
    if (bytes === undefined) {
      if (mode === 'read' || mode === 'write') throw diskError('ENOENT', path)
      bytes = new MemoryBytes()
      this.#files.set(path, bytes)
    }
    const file = bytes
    return {
      write: (from, start, end, position) => file.write(from, start, end, position),
      read: (into, start, end, position) => file.read(into, start, end, position),
      sync: (done) => this.#soon(() => done(null)),
      syncNow: () => {},
      truncate: (size) => file.truncate(size),
      size: () => file.size,
      close: () => {},
    }
  }

  exists(path: string): boolean {
    return this.#files.has(path) || this.list(path).length > 0
  }

  list(directory: string): string[] {
    return listNames(this.#files.keys(), directory)
  }

  makeDirectory(_path: string): void {}

  remove(path: string): void {
    if (!this.#files.delete(path)) throw diskError('ENOENT', path)
  }

  rename(from: string, to: string): void {
    const file = this.#files.get(from)
    if (file === undefined) throw diskError('ENOENT', from)
    this.#files.delete(from)
    this.#files.set(to, file)
  }

  discard(path: string, done: (error: Error | null) => void): void {
    this.remove(path)
    this.#soon(() => done(null))
  }

  syncDirectory(_directory: string, done: (error: Error | null) => void): void {
    this.#soon(() => done(null))
  }

  syncDirectoryNow(_directory: string): void {}

  lock(directory: string): { release(): void } {
    return lockIn(this.#locked, directory)
  }
}

/** Names of files and folders right inside `directory`, sorted. */
export function listNames(paths: Iterable<string>, directory: string): string[] {
  const prefix = `${directory}/`
  const names = new Set<string>()
  for (const path of paths) if (path.startsWith(prefix)) names.add(path.slice(prefix.length).split('/', 1)[0] ?? '')
  return [...names].toSorted()
}

/** @throws {StoreError} DIRECTORY_LOCKED */
export function lockIn(locked: Set<string>, directory: string): { release(): void } {
  if (locked.has(directory)) throw new StoreError('DIRECTORY_LOCKED', `${directory} is in use by this process`)
  locked.add(directory)
  return { release: () => void locked.delete(directory) }
}
