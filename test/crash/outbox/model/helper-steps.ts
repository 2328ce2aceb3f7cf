import type { Setting } from './design.ts'
import { isOf } from './app-steps.ts'
import { isPending } from './broker-steps.ts'
import { hasOrder, hasRows, isKeyLocked, markerOf, proved, publishing, waits, withAnswer } from './postgres-log.ts'
import { commit } from './postgres-steps.ts'
import type { OutboxStep, State } from './state.ts'

const RESOLVER = 'packages/outbox/src/check-back/resolver.ts'
const RELAY = 'packages/outbox/src/relay/relay.ts'
const SWEEPER = 'packages/outbox/src/sweeper/sweeper.ts'

/** What a reader who writes nothing would answer; undefined: it sees that it must wait. */
function readVerdict(state: State, setting: Setting): 'c' | 'r' | undefined {
  const isRunning = state.session === 'open' || waits(state, 'cfo')
  if (setting.checkBack === 'select') return markerOf(state) === 'C' ? 'c' : 'r'
  if (isRunning) return undefined
  if (setting.checkBack === 'advisoryLock') return markerOf(state) === 'C' ? 'c' : 'r'
  // The id went to another transaction, and that one committed.
  return hasOrder(state) || state.isIdLost ? 'c' : 'r'
}

function check(state: State, setting: Setting): State[] | undefined {
  if (!state.isAsked || state.resolver !== '-') return undefined
  const asked: State = { ...state, isAsked: false }
  const unknown = asked
  if (setting.checkBack !== 'upsert') {
    const verdict = readVerdict(state, setting)
    return [verdict === undefined ? unknown : withAnswer(asked, verdict)]
  }
  if (isKeyLocked(state)) return [unknown]
  const marker = markerOf(state)
  const verdict = marker === 'C' ? 'c' : 'r'
  if (marker !== '-' && state.log === '') return [withAnswer(asked, verdict)]
  const letter = marker === '-' ? 'R' : 'T'
  if (!setting.isCheckBackSynchronous) return [withAnswer(commit(asked, letter, false), verdict)]
  return [commit({ ...asked, resolver: verdict }, letter, true)]
}

/** The application asks what became of its own COMMIT. */
function checkOneself(state: State, setting: Setting): State | undefined {
  if (state.app !== 'asking' || state.selfCheck !== '-' || isKeyLocked(state)) return undefined
  const marker = markerOf(state)
  const isLate = setting.hasSelfCheckLimit && state.isOld
  const verdict = 'CF'.includes(marker) ? 'c' : isLate ? '?' : 'r'
  if (marker !== '-' && state.log === '') return proved(state, verdict)
  return commit({ ...state, selfCheck: verdict }, marker === '-' ? 'Q' : 'U', true)
}

function claim(state: State, setting: Setting): State | undefined {
  if (state.relay !== '-' || !hasRows(state) || waits(state, 'lx')) return undefined
  if (state.log === '') return publishing(state)
  if (!setting.isClaimSynchronous) return commit(publishing(state), 'L', false)
  return commit({ ...state, relay: 'claiming' }, 'L', true)
}

function removeRows(state: State): State | undefined {
  if (state.relay !== 'sending') return undefined
  for (let index = 0; index < state.rowSeen.length; index++)
    if (isOf(state, index) && state.rowSeen[index] === '-') return undefined
  const done: State = { ...state, relay: '-' }
  return hasRows(state) ? commit(done, 'X', false) : done
}

function sweep(state: State, setting: Setting): State | undefined {
  if (setting.sweeper === 'nobody') return undefined
  const isDue = state.isOld && 'CF'.includes(markerOf(state))
  const deleted = (): State | undefined => {
    if (isKeyLocked(state)) return undefined
    const swept: State = { ...state, sweeper: '-' }
    return 'CF'.includes(markerOf(state)) ? commit(swept, 'D', false) : swept
  }
  switch (state.sweeper) {
    case '-':
      if (setting.sweeper === 'askThenPick') return isPending(state) ? undefined : { ...state, sweeper: 'asked' }
      return isDue ? { ...state, sweeper: 'picked' } : undefined
    case 'picked':
      if (setting.sweeper === 'byAge') return deleted()
      return { ...state, sweeper: isPending(state) ? '-' : 'asked' }
    default:
      return setting.sweeper === 'pickThenAsk' || isDue ? deleted() : { ...state, sweeper: '-' }
  }
}

function collectTombstone(state: State, { tombstones }: Setting): State | undefined {
  const isDue = tombstones === 'collectedAnyTime' || (tombstones === 'collectedOld' && state.isOld)
  return isDue && markerOf(state) === 'R' && !isKeyLocked(state) ? commit(state, 'G', false) : undefined
}

export const helperSteps: readonly OutboxStep[] = [
  {
    name: 'check-back asks Postgres',
    source: [RESOLVER, 'on conflict (tx_id) do update set checks=t.checks+1'],
    next: check,
  },
  {
    name: 'app asks Postgres about itself',
    source: ['packages/outbox/src/transaction/self-check.ts', 'nowMs - markerAtMs < DEFINITE_MS'],
    next: checkOneself,
  },
  {
    name: 'check-back gives up',
    source: [RESOLVER, '#withDeadline(keys: string[]'],
    isFault: true,
    next: (state) =>
      state.kills > 0 && state.resolver !== '-' ? { ...state, resolver: '-', kills: state.kills - 1 } : undefined,
  },
  {
    name: 'relay claims the rows',
    source: ['packages/outbox/src/relay/outbox-table.ts', 'set lease_until'],
    next: claim,
  },
  {
    name: 'app forwards its rows from memory',
    source: [RELAY, 'sender.send(forwardOf(row, row.tx_id, row.n))'],
    next: (state) =>
      state.app === 'ending' && state.told === 'C' && state.rows !== '-' && state.relay === '-' && hasRows(state)
        ? publishing(state)
        : undefined,
  },
  {
    name: 'relay deletes the rows',
    source: ['packages/outbox/src/relay/row-remover.ts', 'table.delete(ids)'],
    next: removeRows,
  },
  {
    name: 'relay dies',
    source: [RELAY, 'LEASE_MS = 30_000'],
    isFault: true,
    next: (state) =>
      state.kills > 0 && state.relay !== '-' ? { ...state, relay: '-', kills: state.kills - 1 } : undefined,
  },
  { name: 'sweeper goes on', source: [SWEEPER, 'async #settled(keys: string[], last: string)'], next: sweep },
  { name: 'a tombstone is collected', source: [SWEEPER, 'async #deleteTombstones()'], next: collectTombstone },
  {
    name: 'time passes',
    source: [SWEEPER, 'markerAgeMs ?? 600_000'],
    // Nobody looks at the clock before there is a marker to be seen, or an answer to be believed.
    next: (state) =>
      !state.isOld && (markerOf(state) !== '-' || state.app === 'asking') ? { ...state, isOld: true } : undefined,
  },
  {
    name: 'an operator decides by what a SELECT shows',
    source: ['broker/src/transaction/transaction-service.ts', 'resolve(physicalOffset: number, decision: Decision)'],
    next: (state, setting) =>
      setting.operator === 'bySelect' && state.halves.includes('p')
        ? withAnswer(state, hasOrder(state) ? 'c' : 'r')
        : undefined,
  },
]
