import { HistoryChecker } from '../history-checker.ts'
import type { HistoryEvent } from '../history.ts'
import { Accounting } from '../rules/accounting.ts'
import { AtLeastOnce } from '../rules/at-least-once.ts'
import { CancelOrDeliver } from '../rules/cancel-or-deliver.ts'
import { DedupWindow } from '../rules/dedup-window.ts'
import { DelayNeverEarly } from '../rules/delay-never-early.ts'
import type { ChaosEvent, Rule, Violation } from '../rules/event.ts'
import { LeaseExclusive } from '../rules/lease-exclusive.ts'
import { Order } from '../rules/order.ts'
import { Redelivery } from '../rules/redelivery.ts'
import { RetrySchedule } from '../rules/retry-schedule.ts'
import { mergedHistory } from './merged-history.ts'

export interface Verdict {
  /** For the table, in the order to print. */
  readonly figures: Readonly<Record<string, number>>
  readonly violations: readonly Violation[]
  /** For each rule that was broken the events around its first violation. */
  readonly witness: readonly string[]
}

const WITNESS_LINES = 10
const RULES_SHOWN_MAX = 5

/** Judges the logs of a chaos run: what groups did by the rules, what lies in the queues by the checker of the crash tests. */
export function judge(directory: string): Verdict {
  const rules: Rule[] = [
    new Accounting(),
    new AtLeastOnce(),
    new Order(),
    new LeaseExclusive(),
    new DelayNeverEarly(),
    new CancelOrDeliver(),
    new DedupWindow(),
    new RetrySchedule(),
    new Redelivery(),
  ]
  const queues = new QueueJudge(cancelledOf(directory))
  for (const { line } of mergedHistory(directory)) {
    const event = JSON.parse(line) as ChaosEvent
    for (const rule of rules) rule.take(event)
    queues.take(event)
  }
  const violations = [...rules.flatMap((rule) => rule.violations()), ...queues.violations()]
  const figures = Object.assign({}, ...rules.map((rule) => rule.figures())) as Record<string, number>
  return { figures, violations, witness: witnessOf(directory, violations) }
}

/** Ids whose cancellation may have worked: nobody has to find them in a queue. */
function cancelledOf(directory: string): Set<string> {
  const ids = new Set<string>()
  for (const { line } of mergedHistory(directory)) {
    if (!line.startsWith('{"event":"cancel.')) continue
    const event = JSON.parse(line) as ChaosEvent
    if (event.event === 'cancel.start') ids.add(event.id)
    else if (event.event === 'cancel.ok' && event.outcome !== 'cancelled') ids.delete(event.id)
  }
  return ids
}

/** Hands the checker of the crash tests what it knows: sends, and a group that reads every queue once at the end. */
class QueueJudge {
  readonly #checker = new HistoryChecker()
  readonly #cancelled: ReadonlySet<string>
  readonly #topics = new Set<string>()

  constructor(cancelled: ReadonlySet<string>) {
    this.#cancelled = cancelled
  }

  take(event: ChaosEvent): void {
    const give = (changed: object): void => this.#checker.take(changed as HistoryEvent)
    switch (event.event) {
      case 'send.start': {
        if (!this.#topics.has(event.topic)) give({ ...event, event: 'join', group: 'audit' })
        this.#topics.add(event.topic)
        const { kind } = event
        give({ ...event, kind: kind === 'delayed' || kind === 'half' || kind === 'dedup' ? kind : 'plain' })
        return
      }
      case 'send.ok':
        if (!this.#cancelled.has(event.id)) give(event)
        return
      case 'send.unknown':
      case 'send.fail':
      case 'local.commit':
      case 'local.rollback':
        return give(event)
      case 'stored':
        if (event.deadFor === undefined) give({ ...event, event: 'recv', group: 'audit' })
        return
      default:
        if ((event.event as string) === 'read.all') give(event)
    }
  }

  violations(): Violation[] {
    return this.#checker.report().violations.map(({ rule, text, ids }) => ({ rule, text, t: 0, words: ids }))
  }
}

/** Of each broken rule the first case: what was written about it, nearest to where it shows, and the faults there. */
function witnessOf(directory: string, violations: readonly Violation[]): string[] {
  const firsts = new Map<string, Violation>()
  for (const violation of violations) {
    const first = firsts.get(violation.rule)
    if (first === undefined || violation.t < first.t) firsts.set(violation.rule, violation)
  }
  return [...firsts.values()].slice(0, RULES_SHOWN_MAX).flatMap((violation) => {
    const words = violation.words.map((word) => `"${word}"`)
    const found: { t: number; line: string }[] = []
    const faults: { t: number; line: string }[] = []
    for (const entry of mergedHistory(directory)) {
      if (words.some((word) => entry.line.includes(word))) found.push(entry)
      else if (entry.line.startsWith('{"event":"fault')) faults.push(entry)
    }
    const at = violation.t > 0 ? violation.t : (found.at(-1)?.t ?? 0)
    const nearest = (list: typeof found, count: number): typeof found =>
      list.toSorted((a, b) => Math.abs(a.t - at) - Math.abs(b.t - at)).slice(0, count)
    const shown = [...nearest(found, WITNESS_LINES), ...nearest(faults, WITNESS_LINES / 2)]
    return [
      `${violation.rule}: ${violation.text}`,
      ...shown.toSorted((a, b) => a.t - b.t).map(({ line }) => `  ${line}`),
    ]
  })
}
