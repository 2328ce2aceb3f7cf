import { offsetMessageId } from '@tandemmq/protocol'
import type { Clock } from '@tandemmq/remoting'
import { OpRecords } from '../op-record.ts'
import type { LogWriter } from '../log-writer.ts'
import type { AppendCompletion } from '../store/index.ts'
import type { OnParked } from './in-flight.ts'
import type { ParkedRecords } from './parked-records.ts'
import { TimerState } from './timer-state.ts'
import type { TimerTable } from './timer-table.ts'
import type { CancelDone, ChangeOutcome, RescheduleDone, TimerPlace } from './types.ts'

/** Of several parked records of one message the strongest word is the answer. */
const strength: Readonly<Record<ChangeOutcome, number>> = {
  unknown: 0,
  cancelled: 1,
  rescheduled: 2,
  open: 3,
  fired: 4,
}

interface ChangesOptions {
  clock: Clock
  log: LogWriter
  table: TimerTable
  records: ParkedRecords
  /** Log offset before which the messages of a topic are deleted. */
  deletedBefore: (topic: string) => number
  /** A parked copy is stored: it is due at `dueAt`. */
  onMoved: OnParked
}

/**
 * What takes a delayed message back or moves it to another time. Either is one append: an op record that names the parked
 * one, or a parked copy that names it, so a crash leaves exactly one of the two.
 */
export class TimerChanges {
  readonly #options: ChangesOptions
  readonly #ops: OpRecords
  /** Requests for a message whose change waits for the disk. */
  readonly #waiting = new Map<number, (() => void)[]>()
  cancelled = 0
  rescheduled = 0

  constructor(options: ChangesOptions) {
    this.#options = options
    this.#ops = new OpRecords(options.log)
  }

  /** @throws {StoreError} when the log refuses; nothing was decided */
  cancel(topic: string, uniqueKey: string, done: CancelDone): void {
    let isNew = false
    const change = (id: number, settle: (outcome: ChangeOutcome) => void): void => {
      const again = (): void =>
        this.cancel(topic, uniqueKey, (outcome, repeated) => {
          isNew ||= repeated
          settle(outcome)
        })
      this.#begin(id, { settle, again }, (completion) => {
        const now = this.#options.clock.now()
        this.#ops.append(this.#options.table.physicalOffset(id), now, {
          stored: () => {
            isNew = true
            this.cancelled++
            this.#options.table.settle(id, TimerState.cancelled, now)
            completion('cancelled')
          },
          failed: () => completion('open'),
        })
      })
    }
    this.#each(topic, uniqueKey, change, (outcome) => done(outcome === 'rescheduled' ? 'unknown' : outcome, isNew))
  }

  /** @throws {StoreError} when the log refuses; nothing was decided */
  reschedule(topic: string, uniqueKey: string, dueAt: number, done: RescheduleDone): void {
    let place: TimerPlace | undefined
    const deletedBefore = this.#options.deletedBefore(topic)
    const change = (id: number, settle: (outcome: ChangeOutcome) => void): void => {
      // Went with its topic: a copy of it would come back to one of that name.
      const isOrphan = this.#options.table.physicalOffset(id) < deletedBefore
      if (isOrphan && this.#options.table.state(id) === TimerState.pending) return settle('cancelled')
      const again = (): void =>
        this.reschedule(topic, uniqueKey, dueAt, (outcome, moved) => {
          place = moved ?? place
          settle(outcome)
        })
      this.#begin(id, { settle, again }, (completion) => {
        const moved = this.#move(id, dueAt, completion)
        if (moved === undefined) {
          // Gone from the log; its delivery will say so.
          this.#options.table.move(id, TimerState.pending)
          return completion('unknown')
        }
        place = { ...moved, topic, uniqueKey, deliverAt: dueAt }
      })
    }
    this.#each(topic, uniqueKey, change, (outcome) => done(outcome, outcome === 'rescheduled' ? place : undefined))
  }

  /** Settles one for good without delivering it; answers nobody. */
  discard(id: number, now: number, completion: AppendCompletion): void {
    this.#ops.append(this.#options.table.physicalOffset(id), now, completion)
  }

  #move(id: number, dueAt: number, completion: (outcome: ChangeOutcome) => void) {
    const { table, records, onMoved } = this.#options
    const fingerprint = table.hashOf(id)
    let physicalOffset = -1
    const fields = records.appendMoved(table.physicalOffset(id), dueAt, {
      stored: () => {
        this.rescheduled++
        table.drop(id)
        onMoved(physicalOffset, { dueAt, fingerprint, isRetry: false })
        completion('rescheduled')
      },
      failed: () => completion('open'),
    })
    if (fields === undefined) return undefined
    physicalOffset = fields.physicalOffset
    const { queueId, queueOffset, storeHost } = fields
    return { physicalOffset, queueId, queueOffset, offsetMessageId: offsetMessageId(storeHost, physicalOffset) }
  }

  /** Runs `change` for every parked record of the message and joins the answers. */
  #each(
    topic: string,
    uniqueKey: string,
    change: (id: number, settle: (outcome: ChangeOutcome) => void) => void,
    done: (outcome: ChangeOutcome) => void,
  ): void {
    const { table, records } = this.#options
    const topicBytes = Buffer.from(topic, 'utf8')
    const key = Buffer.from(uniqueKey, 'utf8')
    const fingerprint = records.fingerprintOf(topicBytes, key)
    const found: number[] = []
    for (let id = table.first(fingerprint); id >= 0; id = table.next()) found.push(id)
    let answer: ChangeOutcome = 'unknown'
    let waiting = 1
    const settle = (outcome: ChangeOutcome): void => {
      if (strength[outcome] > strength[answer]) answer = outcome
      if (--waiting === 0) done(answer)
    }
    for (const id of found) {
      if (!records.is(table.physicalOffset(id), topicBytes, key)) continue
      waiting++
      change(id, settle)
    }
    settle('unknown')
  }

  #begin(
    id: number,
    request: { settle: (outcome: ChangeOutcome) => void; again: () => void },
    append: (completion: (outcome: ChangeOutcome) => void) => void,
  ): void {
    const { table, clock } = this.#options
    const { settle, again } = request
    switch (table.state(id)) {
      case TimerState.pending:
        break
      case TimerState.changing: {
        const waiters = this.#waiting.get(id)
        // Only the restart can tell whether the log holds it: neither delivered nor promised until then.
        if (waiters === undefined) settle('open')
        else waiters.push(() => this.#repeat(again, settle))
        return
      }
      case TimerState.cancelled:
        return settle('cancelled')
      default:
        return settle('fired')
    }
    // Its delivery may have begun before, and somebody been told so: by a broker that died, or by one the log refused.
    if (table.dueAt(id) <= clock.now()) return settle('fired')
    const waiters: (() => void)[] = []
    table.move(id, TimerState.changing)
    this.#waiting.set(id, waiters)
    try {
      append((outcome) => {
        this.#waiting.delete(id)
        settle(outcome)
        for (const waiter of waiters) waiter()
      })
    } catch (error) {
      this.#waiting.delete(id)
      table.move(id, TimerState.pending)
      throw error
    }
  }

  /** The log may refuse the second one although it took the first: then nothing was decided about it. */
  #repeat(again: () => void, settle: (outcome: ChangeOutcome) => void): void {
    try {
      again()
    } catch {
      settle('open')
    }
  }
}
