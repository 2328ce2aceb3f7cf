import type { HalfMessage } from './half-message.ts'

/** What an open half message waits for. */
export type OpenState =
  /** Too young to be asked about, or its turn to be asked has not come. */
  | 'young'
  /** Nobody is connected who could be asked. */
  | 'unasked'
  /** Somebody was asked and has never said anything. */
  | 'unanswered'
  /** Somebody said that it is not decided, or not to be found out. */
  | 'undecided'
  /** The decision is on its way to the disk. */
  | 'settling'
  /** The store failed under the decision; the restart will tell. */
  | 'inDoubt'

const states: readonly OpenState[] = ['young', 'unasked', 'unanswered', 'undecided', 'settling', 'inDoubt']

const SLICE = 500

export interface OpenHalves {
  readonly state: OpenState
  count: number
  /** 0 without any. */
  oldestMs: number
}

export function openStateOf(half: Pick<HalfMessage, 'state' | 'missed' | 'asked' | 'attempts'>): OpenState {
  if (half.state === 'inDoubt') return 'inDoubt'
  if (half.state !== 'pending') return 'settling'
  if (half.missed) return 'unasked'
  if (half.attempts > 0) return 'undecided'
  return half.asked > 0 ? 'unanswered' : 'young'
}

/** Counts in slices, so that a million open transactions do not hold up everything else; a yield is a place to pause. */
export function* openHalves(halves: Iterable<HalfMessage>, now: number): Generator<undefined, readonly OpenHalves[]> {
  const found = new Map(states.map((state) => [state, { state, count: 0, oldestMs: 0 }]))
  let n = 0
  for (const half of halves) {
    const row = found.get(openStateOf(half)) as OpenHalves
    row.count++
    row.oldestMs = Math.max(row.oldestMs, now - half.storedAt)
    if (++n % SLICE === 0) yield
  }
  return [...found.values()]
}
