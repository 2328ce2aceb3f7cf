import type { ChaosEvent, GroupMode, ReceivedEvent, Rule, Violation } from './event.ts'
import { MS } from './event.ts'

const RESOLUTION_MS = 2
/** What may be added to a wait: so much, and what the machine takes for its work, as its sends show. */
const SLACK_MS = 2_000
const SLACK_SENDS = 20
/** After a fault clients look for one another again: back-off of 5 s, and a half. */
const AFTERMATH_MS = 10_000
/** A stall is written down when it is over. */
const STALL_NOTICED_MS = 1_000

interface Group {
  mode: GroupMode
  attemptsMax: number
}

/**
 * A failed delivery comes again after what its handler asked for: never earlier, and at most 10 % and 2 s later, or more on a
 * machine that is slow at everything, while nothing is broken. Attempts count up to the group's limit and not beyond; a dead letter has a last attempt or a refusal behind it.
 * One more is right where the first delivery of a lease may have reached no handler: it did not fail openly, or the broker could not be told.
 *
 * A lease that could not be changed because of a fault runs out by itself; so a lease group is judged only where no fault was near.
 */
export class RetrySchedule implements Rule {
  readonly #groups = new Map<string, Group>()
  readonly #ops = new Map<string, ReceivedEvent>()
  /** First failure of each attempt. */
  readonly #failed = new Map<string, { t: number; delayMs: number; op: string }>()
  readonly #given = new Set<string>()
  readonly #dead: { group: string; id: string; t: number }[] = []
  readonly #gaps: { event: ReceivedEvent; failedAt: number; delayMs: number; op: string }[] = []
  /** Ends of faults are undefined while they last. */
  readonly #faults: { target: string; from: number; to: number }[] = []
  readonly #found: Violation[] = []
  readonly #sending = new Map<string, number>()
  readonly #sendsMs: number[] = []
  #judged = 0

  take(event: ChaosEvent): void {
    switch (event.event) {
      case 'join':
        this.#groups.set(event.group, { mode: event.mode, attemptsMax: event.attemptsMax })
        return
      case 'send.start':
        this.#sending.set(event.id, event.t)
        return
      case 'send.ok': {
        const startedAt = this.#sending.get(event.id)
        this.#sending.delete(event.id)
        if (startedAt !== undefined) this.#sendsMs.push((event.t - startedAt) / MS)
        return
      }
      case 'recv':
        return this.#received(event)
      case 'nack': {
        const begun = this.#ops.get(event.op)
        if (begun === undefined) return
        const { group, id, attempt } = begun
        const key = `${group} ${id} ${attempt}`
        if (!this.#failed.has(key)) this.#failed.set(key, { t: event.t, delayMs: event.delayMs, op: event.op })
        if (attempt >= (this.#groups.get(group)?.attemptsMax ?? 0)) this.#given.add(`${group} ${id}`)
        this.#ops.delete(event.op)
        return
      }
      case 'reject': {
        const begun = this.#ops.get(event.op)
        if (begun !== undefined) this.#given.add(`${begun.group} ${begun.id}`)
        return
      }
      case 'done':
        this.#ops.delete(event.op)
        return
      case 'fault':
        this.#faults.push({ target: event.target, from: event.t, to: Number.POSITIVE_INFINITY })
        return
      case 'stall':
        this.#faults.push({ target: 'machine', from: event.t - (event.ms + STALL_NOTICED_MS) * MS, to: event.t })
        return
      case 'fault.end': {
        const open = this.#faults.find(({ target, to }) => target === event.target && to === Number.POSITIVE_INFINITY)
        if (open !== undefined) open.to = event.t
        return
      }
      case 'stored':
        if (event.deadFor !== undefined) this.#dead.push({ group: event.deadFor, id: event.id, t: event.t })
    }
  }

  violations(): Violation[] {
    const found = [...this.#found]
    this.#judged = 0
    const median = this.#sendsMs.toSorted((a, b) => a - b)[this.#sendsMs.length >> 1] ?? 0
    const slackMs = SLACK_MS + SLACK_SENDS * median
    for (const { event, failedAt, delayMs, op } of this.#gaps) {
      const gapMs = (event.t - failedAt) / MS
      const isDisturbed = this.#isDisturbed(failedAt, event.t)
      const mode = this.#groups.get(event.group)?.mode
      const isLease = mode === 'lease' || mode === 'lease-ordered'
      if (!isDisturbed) this.#judged++
      const what = `attempt ${event.attempt} of ${event.id} in ${event.group} came after ${gapMs.toFixed(0)} ms`
      const tell = (text: string): void =>
        void found.push({ rule: 'RetrySchedule', text, t: event.t, words: [op, event.op, event.id] })
      if (gapMs < delayMs - RESOLUTION_MS && !(isLease && isDisturbed)) tell(`${what}, asked for were ${delayMs} ms`)
      else if (gapMs > delayMs * 1.1 + slackMs && !isDisturbed)
        tell(`${what}, ${delayMs} ms were asked for, nothing was broken`)
    }
    for (const { group, id, t } of this.#dead) {
      const mode = this.#groups.get(group)?.mode
      // Deliveries of a lease count, also those whose process died.
      if (mode === 'lease' || mode === 'lease-ordered' || this.#given.has(`${group} ${id}`)) continue
      const text = `${id} is a dead letter of ${group}, which neither refused it nor used up its attempts`
      found.push({ rule: 'RetrySchedule', text, t, words: [id] })
    }
    return found
  }

  figures(): Record<string, number> {
    const outside = this.violations().length
    const dead = new Set(this.#dead.map(({ group, id }) => `${group} ${id}`)).size
    return {
      retries: this.#gaps.length,
      'retries far from any fault': this.#judged,
      'retry gaps outside policy': outside,
      'dead letters': dead,
      'dead letters twice': this.#dead.length - dead,
    }
  }

  #received(event: ReceivedEvent): void {
    const group = this.#groups.get(event.group)
    if (group === undefined) return
    this.#ops.set(event.op, event)
    if (event.attempt > group.attemptsMax + (this.#mayBeUnseen(group, event) ? 1 : 0)) {
      const text = `${event.id} was delivered to ${event.group} as attempt ${event.attempt} of at most ${group.attemptsMax}`
      this.#found.push({ rule: 'RetrySchedule', text, t: event.t, words: [event.id] })
    }
    const before = this.#failed.get(`${event.group} ${event.id} ${event.attempt - 1}`)
    if (before === undefined) return
    // A repeat of this attempt, after a fault, says nothing of the gap.
    const key = `${event.group} ${event.id} ${event.attempt} begun`
    if (this.#given.has(key)) return
    this.#given.add(key)
    this.#gaps.push({ event, failedAt: before.t, delayMs: before.delayMs, op: before.op })
  }

  #mayBeUnseen({ mode }: Group, event: ReceivedEvent): boolean {
    if (mode !== 'lease' && mode !== 'lease-ordered') return false
    const first = this.#failed.get(`${event.group} ${event.id} 1`)
    return first === undefined || this.#isDisturbed(first.t, first.t)
  }

  #isDisturbed(from: number, to: number): boolean {
    return this.#faults.some((fault) => fault.from <= to && fault.to + AFTERMATH_MS * MS >= from)
  }
}
