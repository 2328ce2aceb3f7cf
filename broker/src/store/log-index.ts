import type { Disk, DiskFile } from './disk.ts'
import { keyPagesAt, readRuns, readSummary, unitPageAt } from './index-file.ts'
import type { IndexSummary } from './index-file.ts'
import { KEY_BYTES, KEYS_PER_PAGE, PAGE_BYTES, pagesOf, UNIT_BYTES, UnitAt, UNITS_PER_PAGE } from './index-layout.ts'
import type { IndexRun } from './index-layout.ts'
import { offsetName, offsetOfName } from './log-entry.ts'
import { PageCache } from './page-cache.ts'
import { messageOf, StoreError } from './store-error.ts'

const OPEN_FILES_MAX = 16

interface Entry extends IndexSummary {
  number: number
  open: DiskFile | undefined
  touched: number
}

export interface LogIndexOptions {
  disk: Disk
  directory: string
  /** Makes the file of this segment anew, on this thread; it has the same bytes again. Throws when that is not possible. */
  rebuild(start: number): void
}

/** The files that tell where the records of sealed segments are. Derived from the log: what is damaged is made anew. */
export class LogIndex {
  readonly #options: LogIndexOptions
  readonly #pages = new PageCache()
  /** By log offset of the segment, ascending. */
  readonly #entries = new Map<number, Entry>()
  #numbers = 0
  #touches = 0
  #openFiles = 0
  /** Files made anew because a page was damaged. */
  rebuilt = 0

  constructor(options: LogIndexOptions) {
    this.#options = options
    options.disk.makeDirectory(options.directory)
  }

  /** Segments that have a file, as far as the names go. */
  found(): number[] {
    const { disk, directory } = this.#options
    const starts: number[] = []
    for (const name of disk.list(directory)) {
      const start = offsetOfName(name)
      if (start >= 0) starts.push(start)
      else disk.remove(`${directory}/${name}`)
    }
    return starts
  }

  /**
   * Takes the file of the segment into use.
   * @param end where the segment ends, or the file is not of this log
   * @returns undefined when there is none or it is damaged
   */
  load(start: number, end: number): { summary: IndexSummary; runs: IndexRun[] } | undefined {
    const { disk } = this.#options
    const path = this.pathOf(start)
    if (!disk.exists(path)) return undefined
    const file = disk.open(path, 'read')
    try {
      const summary = readSummary(file, start)
      const runs = summary === undefined || summary.end !== end ? undefined : readRuns(file, summary)
      if (summary === undefined || runs === undefined) return undefined
      this.add(summary)
      return { summary, runs }
    } finally {
      file.close()
    }
  }

  /** A file that was just written. */
  add(summary: IndexSummary): void {
    const old = this.#entries.get(summary.start)
    if (old !== undefined) this.#drop(old)
    this.#entries.set(summary.start, { ...summary, number: this.#numbers++, open: undefined, touched: 0 })
  }

  has(start: number): boolean {
    return this.#entries.has(start)
  }

  /** Removes the files of segments that are gone, and any other this index does not use. */
  remove(start: number): void {
    const entry = this.#entries.get(start)
    if (entry !== undefined) this.#drop(entry)
    this.#entries.delete(start)
    const path = this.pathOf(start)
    if (this.#options.disk.exists(path)) this.#options.disk.remove(path)
  }

  get directory(): string {
    return this.#options.directory
  }

  pathOf(start: number): string {
    return `${this.#options.directory}/${offsetName(start)}`
  }

  /**
   * @param start log offset of the segment, which must have a file
   * @returns bytes from the start of the log
   */
  physicalOffset(start: number, unit: number): number {
    const at = this.#unitAt(start, unit) + UnitAt.physicalOffset
    const { view } = this.#pages
    return view.getInt32(at) * 0x1_0000_0000 + view.getUint32(at + 4)
  }

  size(start: number, unit: number): number {
    const at = this.#unitAt(start, unit) + UnitAt.size
    return this.#pages.view.getInt32(at)
  }

  tagsCode(start: number, unit: number): number {
    // The low word of an i64 that holds an i32.
    const at = this.#unitAt(start, unit) + UnitAt.tagsCode + 4
    return this.#pages.view.getInt32(at)
  }

  /**
   * Log offsets of the records with a key of this hash in segments that hold records stored from `begin` to `end` (ms,
   * both included), newest first.
   */
  *find(hash: number, begin: number, end: number): Generator<number> {
    for (const entry of [...this.#entries.values()].toSorted((a, b) => b.start - a.start)) {
      if (entry.keys === 0 || entry.firstTimestamp > end || entry.lastTimestamp < begin) continue
      const places = this.#placesOf(entry, hash)
      for (const place of places.toReversed()) yield entry.start + place
    }
  }

  /** Bytes of pages in memory. */
  get bytes(): number {
    return this.#pages.bytesUsed
  }

  get files(): number {
    return this.#entries.size
  }

  close(): void {
    for (const entry of this.#entries.values()) this.#close(entry)
  }

  #unitAt(start: number, unit: number): number {
    const entry = this.#entries.get(start)
    if (entry === undefined) throw new StoreError('LOG_DAMAGED', `the index of log offset ${start} is missing`)
    this.#page(entry, unitPageAt(unit))
    return this.#pages.at + (unit % UNITS_PER_PAGE) * UNIT_BYTES
  }

  #placesOf(entry: Entry, hash: number): number[] {
    const pages = pagesOf(entry.keys, KEYS_PER_PAGE)
    const from = keyPagesAt(entry)
    // The last page whose first key is before `hash`, or the first page.
    let low = 1
    let high = pages
    while (low < high) {
      const middle = (low + high) >>> 1
      this.#page(entry, from + middle * PAGE_BYTES)
      if (this.#pages.view.getUint32(this.#pages.at) < hash) low = middle + 1
      else high = middle
    }
    const places: number[] = []
    for (let page = low - 1; page < pages; page++) {
      this.#page(entry, from + page * PAGE_BYTES)
      const { view, at } = this.#pages
      const count = Math.min(KEYS_PER_PAGE, entry.keys - page * KEYS_PER_PAGE)
      for (let key = 0; key < count; key++) {
        const found = view.getUint32(at + key * KEY_BYTES)
        if (found > hash) return places
        if (found === hash) places.push(view.getUint32(at + key * KEY_BYTES + 4))
      }
    }
    return places
  }

  /** @throws {StoreError} LOG_DAMAGED when the page is damaged and cannot be made anew */
  #page(entry: Entry, position: number): void {
    let why = 'its checksum does not match'
    try {
      if (this.#pages.load(entry.number, position, () => this.#file(entry))) return
    } catch (error) {
      why = messageOf(error)
    }
    this.#close(entry)
    this.#pages.forget(entry.number)
    try {
      this.#options.rebuild(entry.start)
      this.rebuilt++
      if (this.#pages.load(entry.number, position, () => this.#file(entry))) return
    } catch (error) {
      why = `${why}; ${messageOf(error)}`
    }
    throw new StoreError('LOG_DAMAGED', `${this.pathOf(entry.start)} at byte ${position}: ${why}`)
  }

  #file(entry: Entry): DiskFile {
    entry.touched = ++this.#touches
    if (entry.open !== undefined) return entry.open
    if (this.#openFiles >= OPEN_FILES_MAX) this.#closeLeastUsed()
    entry.open = this.#options.disk.open(this.pathOf(entry.start), 'read')
    this.#openFiles++
    return entry.open
  }

  #closeLeastUsed(): void {
    let least: Entry | undefined
    for (const entry of this.#entries.values()) {
      if (entry.open !== undefined && (least === undefined || entry.touched < least.touched)) least = entry
    }
    if (least !== undefined) this.#close(least)
  }

  #close(entry: Entry): void {
    if (entry.open === undefined) return
    entry.open.close()
    entry.open = undefined
    this.#openFiles--
  }

  #drop(entry: Entry): void {
    this.#close(entry)
    this.#pages.forget(entry.number)
  }
}
