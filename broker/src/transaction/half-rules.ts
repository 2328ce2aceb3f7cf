/** Where a half message stands. The first decision wins: from `committing` on, nothing leads to the other side. */
export type HalfState =
  /** No decision yet; the check-back asks. */
  | 'pending'
  /** Decided, the settling record is appended but not yet as safe as the flush policy promises. */
  | 'committing'
  | 'rollingBack'
  /** The store failed under the settling record: whether the log holds it is known after the restart, not before. */
  | 'inDoubt'
  | 'committed'
  | 'rolledBack'
  /** Never heard of, or settled so long ago that the outcome is no longer kept. */
  | 'absent'

export type Decision = 'commit' | 'rollback' | 'unknown'

export type EndAction =
  /** Append the settling record; answer when it is stored. */
  | 'settle'
  /** Nothing changes; answer pending. */
  | 'keep'
  /** Answer when the settling record in flight is stored. */
  | 'join'
  /** Answer the recorded outcome. */
  | 'repeat'
  /** The opposite was decided before: counted, answered with what holds. */
  | 'refuse'
  | 'notFound'

/** END_TRANSACTION, an answered check-back or a manual resolve meets a half message: exactly one rule per combination. */
export const endRules: readonly (readonly [HalfState, Decision, EndAction])[] = [
  ['pending', 'commit', 'settle'],
  ['pending', 'rollback', 'settle'],
  ['pending', 'unknown', 'keep'],
  ['committing', 'commit', 'join'],
  ['committing', 'rollback', 'refuse'],
  ['committing', 'unknown', 'join'],
  ['rollingBack', 'commit', 'refuse'],
  ['rollingBack', 'rollback', 'join'],
  ['rollingBack', 'unknown', 'join'],
  ['inDoubt', 'commit', 'keep'],
  ['inDoubt', 'rollback', 'keep'],
  ['inDoubt', 'unknown', 'keep'],
  ['committed', 'commit', 'repeat'],
  ['committed', 'rollback', 'refuse'],
  ['committed', 'unknown', 'repeat'],
  ['rolledBack', 'commit', 'refuse'],
  ['rolledBack', 'rollback', 'repeat'],
  ['rolledBack', 'unknown', 'repeat'],
  ['absent', 'commit', 'notFound'],
  ['absent', 'rollback', 'notFound'],
  ['absent', 'unknown', 'notFound'],
]

export type HalfEvent = 'commit' | 'rollback' | 'stored' | 'failed' | 'refusedByLog'

/** Every change of state there is. Replaying the log goes from `pending` to an outcome through the same rows. */
export const transitions: readonly (readonly [HalfState, HalfEvent, HalfState])[] = [
  ['pending', 'commit', 'committing'],
  ['pending', 'rollback', 'rollingBack'],
  ['committing', 'stored', 'committed'],
  ['rollingBack', 'stored', 'rolledBack'],
  ['committing', 'failed', 'inDoubt'],
  ['rollingBack', 'failed', 'inDoubt'],
  // The append was refused outright, before a byte of it existed: the decision was never taken.
  ['committing', 'refusedByLog', 'pending'],
  ['rollingBack', 'refusedByLog', 'pending'],
]

type Table<Row extends string, Column extends string, Cell> = Record<Row, Partial<Record<Column, Cell>>>

function tabulate<Row extends string, Column extends string, Cell>(
  rows: readonly (readonly [Row, Column, Cell])[],
): Table<Row, Column, Cell> {
  const table = {} as Table<Row, Column, Cell>
  for (const [row, column, cell] of rows) {
    table[row] ??= {}
    table[row][column] = cell
  }
  return table
}

const endTable = tabulate(endRules) as Record<HalfState, Record<Decision, EndAction>>
const transitionTable = tabulate(transitions)

export function endAction(state: HalfState, decision: Decision): EndAction {
  return endTable[state][decision]
}

/** @throws {Error} when the table has no such transition: a bug, never a user's mistake */
export function nextState(state: HalfState, event: HalfEvent): HalfState {
  const next = transitionTable[state]?.[event]
  if (next === undefined) throw new Error(`a half message that is ${state} cannot meet "${event}"`)
  return next
}
