import { TandemError } from '@tandemmq/protocol'
import type { Clock, Timer } from '@tandemmq/remoting'
import type { AppendCompletion } from '../../store/index.ts'
import type { Departures } from './departures.ts'
import type { GroupLine } from './group-line.ts'
import type { HeldRecords } from './held-records.ts'

/** Releases per slice, and of one group before others have their turn: a long line must not hold up everybody else. */
const MESSAGES_PER_SLICE = 500
const MESSAGES_PER_TURN = 100
const BYTES_PER_SLICE = 8 << 20
const RETRY_FIRST_MS = 50
const RETRY_MAX_MS = 5_000

const takesNothing: ReadonlySet<string> = new Set(['STORE_FENCED', 'STORE_CLOSED', 'DISK_FULL'])

interface ReleasesOptions {
  clock: Clock
  records: HeldRecords
  departures: Departures
  /** Log offset before which the messages of a topic are deleted. */
  deletedBefore: (topic: string) => number
  /** A held message of `size` bytes left its line. */
  onLeft: (line: GroupLine, size: number) => void
  /** One line for an operator. */
  log: (line: string) => void
}

/**
 * Makes held messages visible, in the order of their line, up to the next undecided half: in slices, the next one when the last one is
 * stored, again and again until the log takes them. A slice grows with what was held meanwhile, so a line becomes shorter
 * however fast it grows.
 */
export class Releases implements AppendCompletion {
  readonly #options: ReleasesOptions
  readonly #ready = new Set<GroupLine>()
  /** A record of theirs cannot be read: tried again now and then. */
  readonly #unreadable = new Set<GroupLine>()
  #running = false
  #waiting = 0
  #retryMs = RETRY_FIRST_MS
  #timer: Timer | undefined
  #againTimer: Timer | undefined
  #scheduled = false
  #grewBy = 0
  #grewBytes = 0
  readonly counts = { released: 0, orphaned: 0, lost: 0 }

  constructor(options: ReleasesOptions) {
    this.#options = options
  }

  start(): void {
    this.#running = true
    this.#soon()
  }

  close(): void {
    this.#running = false
    this.#timer?.cancel()
    this.#againTimer?.cancel()
    this.#timer = this.#againTimer = undefined
  }

  /** A message was held. */
  grew(bytes: number): void {
    if (this.#ready.size === 0 && this.#waiting === 0) return
    this.#grewBy++
    this.#grewBytes += bytes
  }

  /** Nobody undecided is first in `line` any more. */
  ready(line: GroupLine): void {
    if (this.#unreadable.has(line)) return
    this.#ready.add(line)
    this.#slice()
  }

  stored(): void {
    this.#retryMs = RETRY_FIRST_MS
    if (--this.#waiting === 0 && this.#ready.size > 0) this.#soon()
  }

  /** The store broke under a copy: whether the log holds it is known after the restart, so nothing goes on before. */
  failed(): void {
    this.close()
  }

  #soon(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    this.#options.clock.soon(() => {
      this.#scheduled = false
      this.#slice()
    })
  }

  #slice(): void {
    if (!this.#running || this.#waiting > 0 || this.#timer !== undefined) return
    let messages = MESSAGES_PER_SLICE + 2 * this.#grewBy
    let bytes = BYTES_PER_SLICE + 2 * this.#grewBytes
    this.#grewBy = this.#grewBytes = 0
    // Visits those put to its end as well.
    for (const line of this.#ready) {
      this.#ready.delete(line)
      for (let n = 0; line.isReady && messages > 0 && bytes > 0; n++) {
        if (n === MESSAGES_PER_TURN) break
        messages--
        bytes -= line.firstSize
        const done = this.#release(line)
        if (done === 'later') return
        if (done === 'unreadable') break
      }
      if (line.isReady && !this.#unreadable.has(line)) this.#ready.add(line)
      if (messages <= 0 || bytes <= 0) break
    }
    // Whatever was lost or discarded has nothing to wait for.
    if (this.#waiting === 0 && this.#ready.size > 0) this.#soon()
  }

  /** Releases the first in line. `later`: the log takes nothing for the moment. */
  #release(line: GroupLine): 'done' | 'later' | 'unreadable' {
    const { records, departures, deletedBefore, onLeft, clock } = this.#options
    const { firstPlace: place, firstRecord: record, firstSize: size } = line
    let by: number | undefined
    try {
      if (record < deletedBefore(line.topic)) {
        by = records.appendDiscarded(record, clock.now(), this)
        this.counts.orphaned++
      } else {
        by = records.appendReleased(line.topic, record, this)
        if (by !== undefined) this.counts.released++
      }
    } catch (error) {
      return this.#refused(line, error)
    }
    if (by === undefined) {
      this.counts.lost++
      this.#options.log(`the message to ${line.topic} held at ${record} was removed by retention before its release`)
    } else {
      this.#waiting++
      departures.add({ line, place, record, size, by })
    }
    line.leave(place)
    onLeft(line, size)
    return 'done'
  }

  #refused(line: GroupLine, error: unknown): 'later' | 'unreadable' {
    const { clock, log } = this.#options
    if (error instanceof TandemError && takesNothing.has(error.code)) {
      this.#ready.add(line)
      this.#timer ??= clock.setTimer(this.#retryMs, () => {
        this.#timer = undefined
        this.#slice()
      })
      this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS)
      return 'later'
    }
    log(`messages to ${line.topic} stay held: ${error instanceof Error ? error.message : String(error)}`)
    this.#unreadable.add(line)
    this.#againTimer ??= clock.setTimer(RETRY_MAX_MS, () => {
      this.#againTimer = undefined
      for (const one of this.#unreadable) if (one.isReady) this.#ready.add(one)
      this.#unreadable.clear()
      this.#slice()
    })
    return 'unreadable'
  }
}
