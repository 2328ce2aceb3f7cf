import type { State } from './state.ts'
import { put } from './state.ts'

/**
 * Commits by letter. Tables are three characters: marker (`-`, `C`, `F`, `R`), the order of the business transaction, its rows
 * in the outbox table.
 *   C, F, O  the application: marker C; marker F and rows; marker C and rows
 *   M        a marker that got outside of its transaction
 *   R, Q     tombstone of a check-back, of the application's own
 *   T, U     the same where a marker was: nothing changes, but the log ends behind it
 *   D, G     marker deleted, tombstone deleted
 *   L, X     rows claimed, rows deleted
 */
type Letter = 'C' | 'F' | 'O' | 'M' | 'R' | 'Q' | 'T' | 'U' | 'D' | 'G' | 'L' | 'X'

const effects: Readonly<Record<Letter, (table: string) => string>> = {
  C: () => 'C1-',
  F: () => 'F11',
  O: () => 'C11',
  M: () => 'C--',
  R: (table) => `R${table.slice(1)}`,
  Q: (table) => `R${table.slice(1)}`,
  T: (table) => table,
  U: (table) => table,
  D: (table) => (table[0] === 'R' ? table : `-${table.slice(1)}`),
  G: (table) => (table[0] === 'R' ? `-${table.slice(1)}` : table),
  L: (table) => table,
  X: (table) => `${table.slice(0, 2)}-`,
}
const known = new Map<string, string>()

function replayed(base: string, log: string): string {
  let table = base
  for (const letter of log) table = effects[letter as Letter]?.(table) ?? table
  return table
}

/**
 * The backend at `at` waits no longer. What then changes no table leaves the log: nobody can tell that it was there.
 */
export function shown(state: State, at: number): State {
  const letter = (state.log[at] as string).toUpperCase()
  const isMark = 'TUL'.includes(letter)
  const log = state.log.slice(0, at) + (isMark ? '' : letter) + state.log.slice(at + 1)
  return { ...state, log, flushed: isMark && at < state.flushed ? state.flushed - 1 : state.flushed }
}

/** The tables as every new statement sees them: without commits whose backends still wait. */
export function seen({ base, log }: State): string {
  if (log === '') return base
  const text = base + log
  let table = known.get(text)
  if (table === undefined) known.set(text, (table = replayed(base, log)))
  return table
}

export const markerOf = (state: State): string => seen(state)[0] as string
export const hasOrder = (state: State): boolean => seen(state)[1] === '1'
export const hasRows = (state: State): boolean => seen(state)[2] === '1'

/** The order is committed for ever: on every disk. */
export const isOrderDurable = (state: State): boolean => state.base[1] === '1'

/** A backend waits whose commit is one of `letters`. */
export function waits(state: State, letters: string): boolean {
  for (const letter of state.log) if (letters.includes(letter)) return true
  return false
}

/** Somebody holds the marker's key: INSERT, UPDATE and DELETE of it wait. */
export function isKeyLocked(state: State): boolean {
  // A failed transaction has let go of its locks already.
  return state.session === 'open' || waits(state, 'cfomrqtu')
}

/** The first commit of the log is now on every disk. */
export function foldFirst(state: State): State {
  const letter = state.log[0] as string
  const folded = {
    ...state,
    base: replayed(state.base, letter.toUpperCase()),
    log: state.log.slice(1),
    flushed: Math.max(0, state.flushed - 1),
  }
  return letter === letter.toUpperCase() ? folded : answered(folded, letter)
}

/** The backend that waited with `letter` tells its client. */
export function answered(state: State, letter: string): State {
  switch (letter) {
    case 'c':
    case 'f':
    case 'o':
      return state.reply === 'broken' ? state : { ...state, reply: 'COMMIT' }
    case 'l':
      return state.relay === 'claiming' ? publishing(state) : state
    case 'm':
      return state.reply === 'broken' ? state : { ...state, reply: 'outside' }
    case 't':
    case 'r':
      return state.resolver === '-' ? state : withAnswer({ ...state, resolver: '-' }, state.resolver)
    case 'u':
    case 'q':
      return proved({ ...state, selfCheck: '-' }, state.selfCheck)
    default:
      return state
  }
}

/** The relay has its rows, and sends them. */
export function publishing(state: State): State {
  let { sending } = state
  for (let index = 0; index < sending.length; index++)
    if (index === 0 || state.savepoint === 'released') sending = put(sending, index, '1')
  return { ...state, relay: 'sending', sending }
}

export function withAnswer(state: State, verdict: 'c' | 'r'): State {
  const answer = verdict === 'c' ? 'C' : 'R'
  return { ...state, answers: state.answers === '-' || state.answers === answer ? answer : 'B' }
}

/** The application's own check-back has its verdict. */
export function proved(state: State, verdict: State['selfCheck']): State {
  if (state.app !== 'asking' || verdict === '-') return state
  if (verdict === '?') return { ...state, app: 'left', told: '?' }
  return { ...state, app: 'ending', told: verdict === 'c' ? 'C' : 'R' }
}
