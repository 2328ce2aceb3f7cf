import { crc32Of, readInt64, writeInt64 } from '@tandemmq/protocol'
import type { Clock, Timer } from '@tandemmq/remoting'
import type { Disk, DiskFile } from './disk.ts'
import { offsetName, offsetOfName } from './log-entry.ts'
import { isOutOfRoom, messageOf } from './store-error.ts'
import type { DerivedState } from './store-options.ts'

// A checkpoint, big-endian (docs/store-format.md):
//   magic u32 | version u32 | log position i64 | tables u32 | crc32 u32 of the 20 bytes before
//   per table: length of its name u32 | length of its content u32 | crc32 u32 of name and content | name | content
const MAGIC = 0x544d5143
const VERSION = 1
const HEAD_BYTES = 24
const TABLE_HEAD_BYTES = 12
/** One write of a checkpoint: about a millisecond. */
const PIECE_BYTES = 2 << 20
const PAUSE_MS = 4
const KEPT = 2

export interface CheckpointOptions {
  clock: Clock
  disk: Disk
  directory: string
  states: ReadonlyMap<string, DerivedState>
  /** Growth of the log after which the next one is due; Infinity for none ever. */
  everyBytes: number
  onBroken(error: Error): void
}

export interface Checkpoint {
  /** The tables say what follows from the log before this offset. */
  position: number
  tables: Map<string, Buffer>
}

/**
 * Now and then everything that follows from the log is written beside it, so that a start reads only what came after. A
 * checkpoint is a shortcut: without one, or with a damaged one, the log says the same.
 */
export class Checkpoints {
  readonly #options: CheckpointOptions
  /** Position of the newest one taken. */
  #position: number
  /** Taken, and waiting for the log to be on the disk up to its position. */
  #waiting: { position: number; parts: Buffer[] } | undefined
  #writing = false
  #timer: Timer | undefined
  #stopped = false
  written = 0

  /** @param position of the one the start used; 0 without one */
  constructor(options: CheckpointOptions, position: number) {
    this.#options = options
    this.#position = position
  }

  /**
   * @param safe every record before it was announced to the states, none from it on counts
   * @param synced the log is on the disk up to here
   */
  follow(safe: number, synced: number): void {
    if (this.#stopped || this.#writing) return
    if (this.#waiting === undefined && safe - this.#position >= this.#options.everyBytes) this.#take(safe)
    const waiting = this.#waiting
    if (waiting === undefined || synced < waiting.position) return
    this.#waiting = undefined
    this.#writing = true
    this.#write(waiting)
  }

  /** The last one, at a clean end: all of the log is on the disk. */
  writeNow(position: number): void {
    this.stop()
    if (position === this.#position || this.#options.everyBytes === Infinity) return
    this.#take(position)
    const taken = this.#waiting
    if (taken === undefined) return
    try {
      this.#writeWhole(this.#pathOf(position), taken.parts)
    } catch (error) {
      if (!isOutOfRoom(error)) throw error
      this.#removeUnnamed()
    }
  }

  stop(): void {
    this.#stopped = true
    this.#waiting = undefined
    this.#timer?.cancel()
  }

  #writeWhole(path: string, parts: readonly Buffer[]): void {
    const file = this.#options.disk.open(`${path}.tmp`, 'create')
    try {
      file.truncate(0)
      let at = 0
      for (const part of parts) {
        file.write(part, 0, part.length, at)
        at += part.length
      }
      file.syncNow()
    } finally {
      file.close()
    }
    const { disk, directory } = this.#options
    disk.rename(`${path}.tmp`, path)
    disk.syncDirectoryNow(directory)
    this.written++
    for (const position of positionsIn(disk, directory).slice(0, -KEPT)) disk.remove(this.#pathOf(position))
  }

  #take(position: number): void {
    const parts: Buffer[] = [head(position, this.#options.states.size)]
    for (const [name, state] of this.#options.states) {
      const content = state.snapshot(position)
      parts.push(...tableHead(name, content), ...content)
    }
    this.#position = position
    this.#waiting = { position, parts }
  }

  #write({ position, parts }: { position: number; parts: Buffer[] }): void {
    const path = this.#pathOf(position)
    let file: DiskFile
    try {
      file = this.#options.disk.open(`${path}.tmp`, 'create')
      file.truncate(0)
    } catch (error) {
      return this.#give(error)
    }
    const pieces = parts.flatMap(split)
    let next = 0
    let at = 0
    const step = (): void => {
      this.#timer = undefined
      if (this.#stopped) return file.close()
      try {
        const piece = pieces[next++]
        if (piece === undefined) return this.#sync(file, path)
        file.write(piece, 0, piece.length, at)
        at += piece.length
        // Small tables share a turn.
        if (next < pieces.length && (pieces[next] as Buffer).length < PIECE_BYTES / 8) return step()
      } catch (error) {
        file.close()
        return this.#give(error)
      }
      this.#timer = this.#options.clock.setTimer(PAUSE_MS, step)
    }
    step()
  }

  #sync(file: DiskFile, path: string): void {
    file.sync((error) => {
      file.close()
      if (this.#stopped) return
      if (error !== null) return this.#give(error)
      this.#publish(path)
    })
  }

  #publish(path: string): void {
    const { disk, directory } = this.#options
    try {
      disk.rename(`${path}.tmp`, path)
    } catch (error) {
      return this.#give(error)
    }
    disk.syncDirectory(directory, (error) => {
      if (this.#stopped) return
      if (error !== null) return this.#give(error)
      this.written++
      this.#writing = false
      this.#removeOld()
    })
  }

  /** The name of the newest is durable: older ones may go. */
  #removeOld(): void {
    const { disk, directory } = this.#options
    for (const position of positionsIn(disk, directory).slice(0, -KEPT)) {
      disk.discard(this.#pathOf(position), (error) => {
        if (error !== null) this.#give(error)
      })
    }
  }

  #pathOf(position: number): string {
    return `${this.#options.directory}/${offsetName(position)}`
  }

  /** Without room there is no shortcut; any other failure is a failing disk. */
  #give(error: unknown): void {
    this.#writing = false
    if (this.#stopped) return
    try {
      if (isOutOfRoom(error)) return this.#removeUnnamed()
    } catch (failure) {
      error = failure
    }
    this.#options.onBroken(error instanceof Error ? error : new Error(messageOf(error)))
  }

  /** A part of a checkpoint only takes room that is missing elsewhere. */
  #removeUnnamed(): void {
    const { disk, directory } = this.#options
    for (const name of disk.list(directory)) if (offsetOfName(name) < 0) disk.remove(`${directory}/${name}`)
  }
}

/** @returns the newest whole checkpoint; those that are damaged, and `*.tmp`, are removed */
export function newestCheckpoint(disk: Disk, directory: string): Checkpoint | undefined {
  disk.makeDirectory(directory)
  for (const name of disk.list(directory)) if (offsetOfName(name) < 0) disk.remove(`${directory}/${name}`)
  for (const position of positionsIn(disk, directory).toReversed()) {
    const path = `${directory}/${offsetName(position)}`
    const file = disk.open(path, 'read')
    const bytes = Buffer.allocUnsafe(file.size())
    const read = file.read(bytes, 0, bytes.length, 0)
    file.close()
    const checkpoint = read === bytes.length ? decode(bytes) : undefined
    if (checkpoint?.position === position) return checkpoint
    disk.remove(path)
  }
  return undefined
}

function positionsIn(disk: Disk, directory: string): number[] {
  return disk
    .list(directory)
    .map(offsetOfName)
    .filter((position) => position >= 0)
}

function head(position: number, tables: number): Buffer {
  const bytes = Buffer.alloc(HEAD_BYTES)
  bytes.writeUInt32BE(MAGIC, 0)
  bytes.writeUInt32BE(VERSION, 4)
  writeInt64(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 8, position)
  bytes.writeUInt32BE(tables, 16)
  bytes.writeUInt32BE(crc32Of(bytes, 0, 20), 20)
  return bytes
}

function tableHead(name: string, content: readonly Buffer[]): Buffer[] {
  const text = Buffer.from(name)
  const bytes = Buffer.alloc(TABLE_HEAD_BYTES)
  let checksum = crc32Of(text, 0, text.length)
  let length = 0
  for (const part of content) {
    checksum = crc32Of(part, 0, part.length, checksum)
    length += part.length
  }
  bytes.writeUInt32BE(text.length, 0)
  bytes.writeUInt32BE(length, 4)
  bytes.writeUInt32BE(checksum, 8)
  return [bytes, text]
}

function decode(bytes: Buffer): Checkpoint | undefined {
  if (bytes.length < HEAD_BYTES || bytes.readUInt32BE(20) !== crc32Of(bytes, 0, 20)) return undefined
  if (bytes.readUInt32BE(0) !== MAGIC || bytes.readUInt32BE(4) !== VERSION) return undefined
  const tables = new Map<string, Buffer>()
  let at = HEAD_BYTES
  for (let left = bytes.readUInt32BE(16); left > 0; left--) {
    if (at + TABLE_HEAD_BYTES > bytes.length) return undefined
    const nameEnd = at + TABLE_HEAD_BYTES + bytes.readUInt32BE(at)
    const end = nameEnd + bytes.readUInt32BE(at + 4)
    if (end > bytes.length) return undefined
    if (crc32Of(bytes, at + TABLE_HEAD_BYTES, end) !== bytes.readUInt32BE(at + 8)) return undefined
    tables.set(bytes.toString('utf8', at + TABLE_HEAD_BYTES, nameEnd), bytes.subarray(nameEnd, end))
    at = end
  }
  return at === bytes.length ? { position: readInt64(bytes, 8), tables } : undefined
}

function split(part: Buffer): Buffer[] {
  if (part.length <= PIECE_BYTES) return [part]
  const pieces: Buffer[] = []
  for (let at = 0; at < part.length; at += PIECE_BYTES) pieces.push(part.subarray(at, at + PIECE_BYTES))
  return pieces
}
