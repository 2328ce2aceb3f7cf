import { appSteps, isOf } from './app-steps.ts'
import { brokerSteps } from './broker-steps.ts'
import type { Setting } from './design.ts'
import type { Exploration, Model } from './explorer.ts'
import { explore } from './explorer.ts'
import { helperSteps } from './helper-steps.ts'
import { hasOrder, hasRows, waits } from './postgres-log.ts'
import { postgresSteps } from './postgres-steps.ts'
import type { State } from './state.ts'
import { firstState, keyOf } from './state.ts'

export const outboxSteps = [...appSteps, ...postgresSteps, ...brokerSteps, ...helperSteps]

const copiesOf = (state: State, index: number): number =>
  Number(state.halves[index] === 'v') + Number(state.rowSeen[index] === '1')

const isQuiet = (state: State): boolean =>
  (state.app === 'done' || state.app === 'left' || state.app === 'dead') &&
  state.session === '-' &&
  state.statement === '-' &&
  state.log === '' &&
  !/[wspcr]/.test(state.halves) &&
  !/[CR]/.test(state.ends) &&
  !state.sending.includes('1') &&
  !state.isAsked &&
  state.answers === '-' &&
  state.resolver === '-' &&
  state.selfCheck === '-' &&
  state.relay === '-' &&
  state.sweeper === '-'

function isClean({ base }: State, { sweeper, tombstones }: Setting): boolean {
  const marker = base[0] as string
  if (base[2] === '1') return false
  if ('CF'.includes(marker)) return sweeper === 'nobody'
  return marker === '-' || tombstones === 'kept'
}

const isTrue = (state: State): boolean =>
  state.told === '-' || state.told === '?' || (state.told === 'C') === hasOrder(state)

/** Every message of a committed transaction once, no other one, the caller told the truth, nothing left behind. */
function isGood(state: State, setting: Setting): boolean {
  if (!isQuiet(state) || !isClean(state, setting) || state.isContradicted || !isTrue(state)) return false
  for (let index = 0; index < state.halves.length; index++) {
    const due = hasOrder(state) && isOf(state, index) ? 1 : 0
    if (copiesOf(state, index) !== due) return false
  }
  return true
}

/** No copy of the message is left anywhere. */
const isGone = (state: State, index: number): boolean =>
  !'wspc'.includes(state.halves[index] as string) &&
  state.sending[index] === '-' &&
  !hasRows(state) &&
  !waits(state, 'fo')

export type Kind = 'ghost' | 'lost' | 'double' | 'untrue' | 'contradiction' | 'stuck'

function nameBad(state: State): Kind {
  const isCommitted = hasOrder(state) || waits(state, 'cfo')
  const mayCommit = isCommitted || state.session === 'open'
  for (let index = 0; index < state.halves.length; index++) {
    const copies = copiesOf(state, index)
    if (copies > 1) return 'double'
    const isDue = mayCommit && isOf(state, index)
    if (copies > 0 && !isDue) return 'ghost'
    if (isCommitted && isDue && copies === 0 && isGone(state, index)) return 'lost'
  }
  if (state.isContradicted) return 'contradiction'
  return isTrue(state) ? 'stuck' : 'untrue'
}

export function exploreOutbox(setting: Setting, statesMax?: number): Exploration<State> {
  const model: Model<State, Setting> = { initial: firstState(setting), steps: outboxSteps, key: keyOf, isGood, nameBad }
  return explore(model, setting, statesMax)
}
