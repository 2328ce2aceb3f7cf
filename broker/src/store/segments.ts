import type { Disk, DiskFile } from './disk.ts'
import { offsetName, offsetOfName } from './log-entry.ts'

/** Files open at once; a large log has thousands. */
const OPEN_FILES_MAX = 64

/** One file of the log, named by the log offset of its first byte. */
export class Segment {
  readonly start: number
  readonly path: string
  /** Log offset where the next segment starts, or would. */
  limit: number
  /** Bytes its file had when it was opened. */
  bytesFound = 0
  /** Store time of its last record, ms; 0 when it has none. */
  lastTimestamp = 0
  /** Use count of the list at the last read, for closing the least used file. @internal */
  touched = 0
  /** @internal */
  open: DiskFile | undefined

  constructor(start: number, limit: number, path: string) {
    this.start = start
    this.limit = limit
    this.path = path
  }
}

/** The files of the log in order, opened when needed. */
export class Segments {
  readonly #disk: Disk
  readonly #directory: string
  readonly list: Segment[] = []
  #touches = 0
  #openFiles = 0
  /** The segment that is being prepared, and the one that is. */
  #preparing = -1
  #prepared = -1

  constructor(disk: Disk, directory: string) {
    this.#disk = disk
    this.#directory = directory
    disk.makeDirectory(directory)
    const starts = disk
      .list(directory)
      .map(offsetOfName)
      .filter((start) => start >= 0)
    for (const [index, start] of starts.entries()) {
      const segment = new Segment(start, 0, this.pathOf(start))
      segment.bytesFound = this.file(segment).size()
      segment.limit = starts[index + 1] ?? start + segment.bytesFound
      this.list.push(segment)
    }
  }

  get last(): Segment | undefined {
    return this.list.at(-1)
  }

  get firstOffset(): number {
    return this.list[0]?.start ?? 0
  }

  pathOf(start: number): string {
    return `${this.#directory}/${offsetName(start)}`
  }

  find(offset: number): Segment | undefined {
    let low = 0
    let high = this.list.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.list[middle]!.start <= offset) low = middle + 1
      else high = middle
    }
    return this.list[low - 1]
  }

  file(segment: Segment): DiskFile {
    segment.touched = ++this.#touches
    if (segment.open !== undefined) return segment.open
    if (this.#openFiles >= OPEN_FILES_MAX) this.#closeLeastUsed()
    segment.open = this.#disk.open(segment.path, 'write')
    this.#openFiles++
    return segment.open
  }

  /**
   * Makes the file of the segment at `start` and its name durable, beside the traffic, before it is needed.
   * @param failed told why it could not; {@link create} will try again
   */
  prepare(start: number, failed: (error: unknown) => void): void {
    if (this.#prepared === start || this.#preparing === start) return
    this.#preparing = start
    try {
      this.#touch(start)
    } catch (error) {
      return failed(error)
    }
    this.#disk.syncDirectory(this.#directory, (error) => {
      if (error !== null) failed(error)
      else if (this.#preparing === start) this.#prepared = start
    })
  }

  /** Makes the file and its name durable, so that what is synced into it can be found after a power cut. */
  create(start: number): void {
    if (this.#prepared === start) return
    this.#touch(start)
    this.#disk.syncDirectoryNow(this.#directory)
  }

  syncNames(): void {
    this.#disk.syncDirectoryNow(this.#directory)
  }

  #touch(start: number): void {
    const path = this.pathOf(start)
    if (!this.#disk.exists(path)) this.#disk.open(path, 'exclusive').close()
  }

  add(start: number, limit: number): Segment {
    const segment = new Segment(start, limit, this.pathOf(start))
    this.list.push(segment)
    return segment
  }

  /** Removes files from the list and the directory. */
  remove(segments: readonly Segment[]): void {
    if (segments.length === 0) return
    for (const segment of segments) {
      this.forget(segment)
      this.#disk.remove(segment.path)
    }
    this.#disk.syncDirectoryNow(this.#directory)
  }

  /** As remove, off the main thread. */
  discard(segments: readonly Segment[], done: (error: Error | null) => void): void {
    for (const segment of segments) this.forget(segment)
    let left = segments.length
    let failure: Error | null = null
    for (const segment of segments) {
      this.#disk.discard(segment.path, (error) => {
        failure ??= error
        if (--left > 0) return
        if (failure !== null) done(failure)
        else this.#disk.syncDirectory(this.#directory, done)
      })
    }
  }

  /** Takes a segment off the list, and leaves its file. */
  forget(segment: Segment): void {
    this.#close(segment)
    const index = this.list.indexOf(segment)
    if (index >= 0) this.list.splice(index, 1)
  }

  closeAll(): void {
    for (const segment of this.list) this.#close(segment)
  }

  #close(segment: Segment): void {
    if (segment.open === undefined) return
    segment.open.close()
    segment.open = undefined
    this.#openFiles--
  }

  #closeLeastUsed(): void {
    // Never the newest two: one is written, and the one before it may still be in a sync.
    let least: Segment | undefined
    for (const segment of this.list.slice(0, -2)) {
      if (segment.open !== undefined && (least === undefined || segment.touched < least.touched)) least = segment
    }
    if (least !== undefined) this.#close(least)
  }
}
