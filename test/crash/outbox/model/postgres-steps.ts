import type { Setting } from './design.ts'
import { answered, foldFirst, hasOrder, markerOf, publishing, shown, waits } from './postgres-log.ts'
import type { OutboxStep, State } from './state.ts'

const SCOPE = 'packages/outbox/src/transaction/scope.ts'
const ENLISTMENT = 'packages/outbox/src/transaction/enlistment.ts'
const SPEC = 'docs/spec/outbox.md'

/** Appends a commit; whoever needs it durable waits. */
export function commit(state: State, letter: string, isSynchronous: boolean): State {
  if (!isSynchronous && 'TUL'.includes(letter)) return state
  return shortened({ ...state, log: state.log + (isSynchronous ? letter.toLowerCase() : letter) })
}

/** When nothing can befall Postgres any more, nobody can tell a commit from a durable one: fewer states. */
function shortened(state: State): State {
  if (state.crashes + state.failovers + state.cancels > 0) return state
  let short = state
  while (short.log !== '') short = foldFirst(short)
  return short
}

const isConnected = ({ app }: State): boolean =>
  app === 'beginning' ||
  app === 'marked' ||
  app === 'sent' ||
  app === 'ready' ||
  app === 'committing' ||
  app === 'rollingBack'

/** Every session is gone, and with it what was on its way. */
function disconnected(state: State): State {
  const lost = state.session !== '-' || waits(state, 'cfo')
  const isAwaiting = lost || state.statement !== '-' || waits(state, 'm')
  return {
    ...state,
    session: '-',
    statement: '-',
    reply: isConnected(state) && isAwaiting ? 'broken' : state.reply,
    isIdLost: state.isIdLost || (lost && !hasOrder(state)),
    resolver: '-',
    selfCheck: '-',
    relay: state.relay === 'claiming' ? '-' : state.relay,
  }
}

/** What the restarted server finds on its disk. */
function replay({ log, flushed }: State): Pick<State, 'log' | 'flushed'> {
  const found = log.slice(0, flushed).toUpperCase().replaceAll(/[TUL]/g, '')
  return { log: found, flushed: found.length }
}

function begin(state: State): State | undefined {
  if (state.statement !== 'B' || waits(state, 'rqtu')) return undefined
  const arrived: State = { ...state, statement: '-' }
  if (state.reply === 'broken') return { ...arrived, session: '-' }
  if (markerOf(state) === 'R') return { ...arrived, session: '-', reply: 'refused' }
  return { ...arrived, session: 'open', reply: 'begun' }
}

/** Behind a ROLLBACK the marker is a transaction of its own. */
function outside(state: State): State | undefined {
  if (state.statement !== 'M' || waits(state, 'rqtu')) return undefined
  return commit({ ...state, statement: '-', session: '-' }, 'M', true)
}

function arrive(state: State, setting: Setting): State | undefined {
  const arrived: State = { ...state, statement: '-' }
  if (state.statement === 'Z') {
    const reply = state.session === '-' || state.reply === 'broken' ? 'broken' : 'ROLLBACK'
    return { ...arrived, session: '-', reply }
  }
  if (state.statement !== 'K') return undefined
  // Outside of a transaction COMMIT is a warning, 25P01.
  if (state.session === '-') return { ...arrived, reply: state.reply === 'broken' ? 'broken' : 'WARNING' }
  if (state.session === 'failed')
    return { ...arrived, session: '-', reply: state.reply === 'broken' ? 'broken' : 'ROLLBACK' }
  const letter = state.rows === '-' ? 'C' : state.rows
  const committed = commit({ ...arrived, session: '-' }, letter, setting.isCommitSynchronous)
  return setting.isCommitSynchronous ? committed : answered(committed, letter.toLowerCase())
}

function flush(state: State, { standby }: Setting): State | undefined {
  if (state.flushed === state.log.length) return undefined
  if (standby === 'none') return foldFirst(state)
  const flushed = { ...state, flushed: state.flushed + 1 }
  if (standby === 'synchronous') return flushed
  const letter = state.log[state.flushed] as string
  if (letter === letter.toUpperCase()) return flushed
  return answered(shown(flushed, state.flushed), letter)
}

/** The commit stays, on this server alone; whoever waited is warned, or loses the connection. */
function cancel(state: State, setting: Setting): State[] | undefined {
  if (state.cancels === 0 || setting.standby !== 'synchronous') return undefined
  const states: State[] = []
  for (let at = 0; at < state.flushed; at++) {
    const letter = state.log[at] as string
    if (letter === letter.toUpperCase()) continue
    const cancelled: State = { ...shown(state, at), cancels: state.cancels - 1 }
    if ('cfo'.includes(letter)) {
      if (state.reply !== 'broken') states.push({ ...cancelled, reply: 'WARNING' })
      states.push({ ...cancelled, reply: 'broken' })
    } else if (letter === 'l') {
      const isClaimed = setting.onClaimWarning === 'claimed' && state.relay === 'claiming'
      states.push(isClaimed ? publishing(cancelled) : { ...cancelled, relay: '-' })
    } else if (letter === 'm') states.push({ ...cancelled, reply: 'broken' })
    else if ('tr'.includes(letter)) states.push({ ...cancelled, resolver: '-' })
    else states.push({ ...cancelled, selfCheck: '-' })
  }
  return states.map(shortened)
}

export const postgresSteps: readonly OutboxStep[] = [
  {
    name: 'BEGIN and marker arrive',
    source: [ENLISTMENT, 'this.tap.send(joined(before, this.scope.opening))'],
    next: begin,
  },
  { name: 'marker arrives behind ROLLBACK', source: [SCOPE, 'a transaction of its own'], next: outside },
  { name: 'COMMIT or ROLLBACK arrives', source: [SCOPE, 'COMMIT_GUARD'], next: arrive },
  {
    name: 'next commit reaches the disk',
    source: ['packages/outbox/src/schema/schema.ts', 'SYNCHRONOUS_COMMIT'],
    next: flush,
  },
  {
    name: 'next commit reaches the standby',
    source: ['packages/outbox/src/schema/schema.ts', 'SYNCHRONOUS_COMMIT'],
    next: (state, { standby }) => (standby !== 'none' && state.flushed > 0 ? foldFirst(state) : undefined),
  },
  {
    name: 'a statement fails, its error is swallowed',
    source: [ENLISTMENT, 'SWALLOWED'],
    next: (state) => (state.session === 'open' && state.app === 'sent' ? { ...state, session: 'failed' } : undefined),
  },
  {
    name: 'the session of a dead client ends',
    source: ['packages/outbox/src/schema/probe.ts', 'client_connection_check_interval'],
    next: (state) =>
      (state.app === 'dead' || state.reply === 'broken') && state.session !== '-'
        ? { ...state, session: '-' }
        : undefined,
  },
  {
    name: 'a statement is lost with its connection',
    source: [SPEC, 'App–Postgres cut'],
    next: (state) =>
      (state.app === 'dead' || state.reply === 'broken') && state.statement !== '-'
        ? { ...state, statement: '-' }
        : undefined,
  },
  {
    name: 'the session times out',
    source: ['packages/outbox/src/schema/probe.ts', 'idle_in_transaction_session_timeout'],
    isFault: true,
    next: (state) =>
      state.cuts > 0 && state.session !== '-' && state.statement === '-' && state.app !== 'dead'
        ? { ...state, session: '-', reply: 'broken', cuts: state.cuts - 1 }
        : undefined,
  },
  {
    name: 'the connection breaks',
    source: [ENLISTMENT, '#onLost'],
    isFault: true,
    next: (state) =>
      state.cuts > 0 &&
      isConnected(state) &&
      (state.session !== '-' || state.statement !== '-' || state.reply !== '-' || waits(state, 'cfom'))
        ? { ...state, reply: 'broken', cuts: state.cuts - 1 }
        : undefined,
  },
  {
    name: 'a wait for the standby is cancelled',
    source: ['packages/outbox/src/database/commit-outcome.ts', '01000'],
    isFault: true,
    next: cancel,
  },
  {
    name: 'Postgres crashes and restarts',
    source: [SPEC, 'Postgres kill -9 + restart'],
    isFault: true,
    next: (state) =>
      state.crashes > 0
        ? shortened({
            ...disconnected(state),
            ...replay(state),
            crashes: state.crashes - 1,
          })
        : undefined,
  },
  {
    name: 'the standby takes over',
    source: ['packages/outbox/src/check-back/timeline-watch.ts', 'promoted standby'],
    isFault: true,
    next: (state, { standby }) =>
      state.failovers > 0 && standby !== 'none'
        ? { ...disconnected(state), log: '', flushed: 0, failovers: state.failovers - 1 }
        : undefined,
  },
]
