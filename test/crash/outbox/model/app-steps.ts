import type { Setting } from './design.ts'
import { isKeyLocked, markerOf } from './postgres-log.ts'
import { commit } from './postgres-steps.ts'
import type { OutboxStep, State } from './state.ts'
import { eachMessage, put } from './state.ts'

const SCOPE = 'packages/outbox/src/transaction/scope.ts'
const ENLISTMENT = 'packages/outbox/src/transaction/enlistment.ts'
const SETTLER = 'packages/outbox/src/settlement/settler.ts'
const SAVEPOINTS = 'packages/outbox/src/database/savepoints.ts'

/** Whether the message belongs to the transaction as it stands. */
export const isOf = (state: State, index: number): boolean => index === 0 || state.savepoint === 'released'

const send = (state: State): State => {
  let { halves } = state
  for (let index = 0; index < halves.length; index++) if (isOf(state, index)) halves = put(halves, index, 'w')
  return { ...state, halves }
}

function start(state: State, setting: Setting): State | State[] | undefined {
  if (state.app !== 'start') return undefined
  if (setting.first === 'half') return { ...send(state), app: 'sent' }
  const begun: State = { ...state, app: 'beginning', statement: 'B' }
  if (setting.isJoined) {
    // The connection is the user's, and perhaps a ROLLBACK of theirs is on its way.
    return [
      { ...begun, session: 'unmarked' },
      { ...begun, session: 'unmarked', statement: 'M' },
    ]
  }
  return setting.first === 'together' ? send(begun) : begun
}

const areAcked = ({ halves, acks }: State): boolean => {
  for (let index = 0; index < halves.length; index++) if (halves[index] !== '-' && acks[index] !== '1') return false
  return true
}

function readBegun(state: State, setting: Setting): State | undefined {
  if (state.app !== 'beginning' || state.reply === '-' || state.reply === 'broken') return undefined
  const read: State = { ...state, reply: '-' }
  if (state.reply === 'refused') return { ...read, app: 'ending', told: 'R' }
  if (state.reply === 'outside' && setting.isJoinChecked) return { ...read, app: 'left', told: 'R' }
  if (setting.first === 'marker') return { ...read, app: 'marked' }
  return { ...read, app: setting.first === 'half' ? 'ready' : 'sent' }
}

function readAcks(state: State): State | undefined {
  if (state.app !== 'sent' || state.savepoint === 'set' || !areAcked(state)) return undefined
  if (state.session === '-' && state.reply === '-' && markerOf(state) !== 'C')
    return { ...state, app: 'beginning', statement: 'B' }
  return { ...state, app: 'ready' }
}

function fallBack(state: State, setting: Setting): State | undefined {
  if (state.app !== 'sent' || state.savepoint === 'set') return undefined
  if (setting.fallback === 'rollBack' || setting.first === 'half') return undefined
  if (state.session !== 'open' || state.reply === 'broken') return undefined
  return { ...state, app: 'ready', rows: setting.fallback === 'rowsAndFlag' ? 'F' : 'O' }
}

function rollBack(state: State): State | undefined {
  if (state.reply === 'broken') return undefined
  if (state.app !== 'marked' && state.app !== 'sent' && state.app !== 'ready') return undefined
  if (state.session === '-') return state.app === 'sent' ? { ...state, app: 'left', told: 'R' } : undefined
  return { ...state, app: 'rollingBack', statement: 'Z' }
}

function sendCommit(state: State, setting: Setting): State | undefined {
  if (state.app !== 'ready' || state.reply === 'broken') return undefined
  const sent: State = { ...state, app: 'committing', statement: 'K' }
  return setting.end === 'beforeAnswer' ? { ...sent, ends: sent.ends.replaceAll('-', 'C') } : sent
}

function readCommit(state: State, setting: Setting): State | undefined {
  const { reply } = state
  if (state.app !== 'committing' || reply === '-') return undefined
  const read: State = { ...state, reply: reply === 'broken' ? reply : '-' }
  const committed: State = { ...read, app: 'ending', told: 'C' }
  const inDoubt: State =
    setting.onBrokenCommit === 'ask' ? { ...read, app: 'asking' } : { ...read, app: 'ending', told: 'R' }
  if (reply === 'COMMIT') return committed
  if (reply === 'WARNING') return setting.onWarning === 'committed' ? committed : { ...read, app: 'asking' }
  if (reply === 'broken') return inDoubt
  return setting.end === 'afterAnyAnswer' ? committed : { ...read, app: 'ending', told: 'R' }
}

/** What the broker is told about a half of a decided transaction. */
const decisionOf = (state: State, index: number): 'C' | 'R' =>
  state.told === 'C' && state.rows === '-' && isOf(state, index) ? 'C' : 'R'

function sendEnd(state: State): State[] | undefined {
  if (state.app !== 'ending' && state.app !== 'done') return undefined
  return eachMessage(state, (index) =>
    state.acks[index] === '1' && state.ends[index] === '-' && state.ended[index] === '-'
      ? { ...state, ends: put(state.ends, index, decisionOf(state, index)) }
      : undefined,
  )
}

/** Every END is answered: the marker goes, unless the broker said something else than it was told. */
function readEnds(state: State, setting: Setting): State | undefined {
  if (state.app !== 'ending') return undefined
  for (let index = 0; index < state.acks.length; index++) {
    if (state.acks[index] !== '1') continue
    if (state.ended[index] === '-') return undefined
    if (state.ended[index] !== decisionOf(state, index)) return { ...state, app: 'left', isContradicted: true }
  }
  const done: State = { ...state, app: 'done' }
  if (state.told !== 'C' || setting.sweeper === 'nobody') return done
  if (isKeyLocked(state)) return undefined
  return 'CF'.includes(markerOf(state)) ? commit(done, 'D', false) : done
}

function inSavepoint(state: State, setting: Setting): State[] | undefined {
  if (!setting.hasSavepoint || state.app !== 'sent' || state.session !== 'open' || state.reply === 'broken')
    return undefined
  const sendInner = (next: State): State => ({ ...next, halves: put(next.halves, 1, 'w') })
  if (state.savepoint === '-') {
    const set: State = { ...state, savepoint: 'set' }
    return [setting.savepoint === 'sentAtOnce' ? sendInner(set) : set]
  }
  if (state.savepoint !== 'set') return undefined
  const released: State = { ...state, savepoint: 'released' }
  return [{ ...state, savepoint: 'undone' }, setting.savepoint === 'waits' ? sendInner(released) : released]
}

const isWorking = ({ app }: State): boolean => app !== 'start' && app !== 'done' && app !== 'left' && app !== 'dead'

export const appSteps: readonly OutboxStep[] = [
  {
    name: 'transaction begins',
    source: ['packages/outbox/src/transaction/transaction-runner.ts', 'async #begin('],
    next: start,
  },
  {
    name: 'app reads the answer to its marker',
    source: [SCOPE, '#noteMarker(results: QueryResult[])'],
    next: readBegun,
  },
  {
    name: 'halves leave',
    source: [SCOPE, '#prepare(message: RecordedMessage)'],
    next: (state) => (state.app === 'marked' && state.reply === '-' ? { ...send(state), app: 'sent' } : undefined),
  },
  {
    name: 'circuit open: rows instead of halves',
    source: [SCOPE, 'No half was sent: nothing to flag.'],
    next: (state, setting) =>
      state.app === 'marked' && state.reply === '-' && setting.fallback !== 'rollBack' && !setting.hasSavepoint
        ? { ...state, app: 'ready', rows: 'O' }
        : undefined,
  },
  {
    name: 'savepoint is set, released or rolled back',
    source: [SAVEPOINTS, 'rollBackTo(name: string)'],
    next: inSavepoint,
  },
  { name: 'app has all acknowledgements', source: [SCOPE, 'async #awaitHalves()'], next: readAcks },
  { name: 'app waits no longer for halves: rows', source: [SCOPE, 'async #fallBack()'], next: fallBack },
  { name: 'app rolls back', source: [ENLISTMENT, 'async #rollBack('], next: rollBack },
  { name: 'app sends COMMIT', source: [SCOPE, 'async commit(text: string)'], next: sendCommit },
  {
    name: 'app reads the answer to COMMIT',
    source: ['packages/outbox/src/database/commit-outcome.ts', 'outcomeOfTag'],
    next: readCommit,
  },
  {
    name: 'app reads the answer to ROLLBACK',
    source: [ENLISTMENT, 'if (!noticed) this.#endHalves()'],
    next: (state) =>
      state.app === 'rollingBack' && state.reply === 'ROLLBACK'
        ? { ...state, app: 'ending', told: 'R', reply: '-' }
        : undefined,
  },
  {
    name: 'app has lost its connection before COMMIT',
    source: [ENLISTMENT, '#onLost = ()'],
    next: (state) =>
      state.reply === 'broken' &&
      isWorking(state) &&
      state.app !== 'committing' &&
      state.app !== 'asking' &&
      state.app !== 'ending'
        ? { ...state, app: 'left', told: 'R' }
        : undefined,
  },
  {
    name: 'app gives up asking',
    source: ['packages/outbox/src/transaction/self-check.ts', 'clock.monotonic() + pauseMs > deadline'],
    next: (state) => (state.app === 'asking' ? { ...state, app: 'left', told: '?' } : undefined),
  },
  { name: 'app sends END', source: [SETTLER, 'this.#options.sender.endMany('], next: sendEnd },
  { name: 'app has all ENDs answered', source: [SETTLER, '#acknowledge(settlement: Settlement'], next: readEnds },
  {
    name: 'app dies',
    source: ['packages/outbox/src/failpoint.ts', 'kill'],
    isFault: true,
    next: (state) =>
      state.kills > 0 && isWorking(state)
        ? { ...state, app: 'dead', selfCheck: '-', kills: state.kills - 1 }
        : undefined,
  },
]
