import type { Setting } from './design.ts'
import type { OutboxStep, State } from './state.ts'
import { eachMessage, put } from './state.ts'

const RULES = 'broker/src/transaction/half-rules.ts'
const SERVICE = 'broker/src/transaction/transaction-service.ts'
const CHECK_BACK = 'broker/src/transaction/check-back.ts'
const SPEC = 'docs/spec/outbox.md'

/** Not settled durably. */
export const isPending = (state: State): boolean => /[spcr]/.test(state.halves)

/** The broker is told `decision` about one half; it may have been told before. */
function decided(state: State, setting: Setting, index: number, decision: 'C' | 'R'): State {
  const commits = decision === 'C'
  switch (state.halves[index]) {
    case 's':
    case 'p': {
      const halves = put(state.halves, index, commits ? 'c' : 'r')
      const settling = { ...state, halves }
      return setting.brokerCrashes === 0 ? stored(settling, index) : settling
    }
    case 'c':
    case 'v':
      // A check-back that met a marker on its deletion: normal, the first decision holds.
      return state
    case 'r':
    case 'd':
      return commits ? { ...state, isContradicted: true } : state
    default:
      return state
  }
}

/** The settling record is durable. */
function stored(state: State, index: number): State {
  return { ...state, halves: put(state.halves, index, state.halves[index] === 'c' ? 'v' : 'd') }
}

function arrive(state: State, { brokerCrashes, halfAck }: Setting): State[] {
  return eachMessage(state, (index) => {
    if (state.halves[index] !== 'w') return undefined
    if (brokerCrashes === 0) {
      return { ...state, halves: put(state.halves, index, 'p'), acks: put(state.acks, index, '1') }
    }
    const acks = halfAck === 'appended' ? put(state.acks, index, '1') : state.acks
    return { ...state, halves: put(state.halves, index, 's'), acks }
  })
}

function store(state: State): State[] {
  return eachMessage(state, (index) => {
    switch (state.halves[index]) {
      case 's':
        return { ...state, halves: put(state.halves, index, 'p'), acks: put(state.acks, index, '1') }
      case 'c':
      case 'r':
        return stored(state, index)
      default:
        return undefined
    }
  })
}

/** END is answered when the half is settled durably, with what it is. */
function takeEnd(state: State, setting: Setting): State[] {
  return eachMessage(state, (index) => {
    const decision = state.ends[index]
    if (decision !== 'C' && decision !== 'R') return undefined
    const half = state.halves[index] as string
    if ('sp'.includes(half)) {
      const settling = decided(state, setting, index, decision)
      if (setting.brokerCrashes === 0) return answered(settling, setting, index)
      return setting.endAck === 'appended'
        ? { ...settling, ends: put(state.ends, index, '-'), ended: put(state.ended, index, decision) }
        : settling
    }
    if ('cr'.includes(half)) return decided(state, setting, index, decision)
    return answered(decided(state, setting, index, decision), setting, index)
  })
}

function answered(state: State, { hasDuplicates }: Setting, index: number): State | State[] {
  const outcome = { v: 'C', d: 'R' }[state.halves[index] as string] ?? 'R'
  const told = { ...state, ended: put(state.ended, index, outcome) }
  const consumed = { ...told, ends: put(state.ends, index, '-') }
  return hasDuplicates ? [consumed, told] : consumed
}

function takeAnswer(state: State, setting: Setting): State[] {
  const states: State[] = []
  for (const answer of ['C', 'R'] as const) {
    if (state.answers !== answer && state.answers !== 'B') continue
    const left = state.answers === 'B' ? (answer === 'C' ? 'R' : 'C') : '-'
    let all = state
    for (let index = 0; index < state.halves.length; index++) {
      if ('-wx'.includes(state.halves[index] as string)) continue
      const one = decided(state, setting, index, answer)
      all = decided(all, setting, index, answer)
      // Asked about separately: the other one's answer is still on its way, or lost.
      if (state.halves.length > 1) states.push(one)
    }
    states.push({ ...all, answers: left })
    if (setting.hasDuplicates) states.push(all)
  }
  return states
}

function takeRow(state: State, { rowKey, hasDuplicates }: Setting): State[] {
  return eachMessage(state, (index) => {
    if (state.sending[index] !== '1') return undefined
    const isRepeat = rowKey === 'ofTheHalf' && !'-wx'.includes(state.halves[index] as string)
    const rowSeen = state.rowSeen[index] === '-' ? put(state.rowSeen, index, isRepeat ? '2' : '1') : state.rowSeen
    const taken = { ...state, rowSeen }
    const consumed = { ...taken, sending: put(state.sending, index, '-') }
    return hasDuplicates ? [consumed, taken] : consumed
  })
}

/** What is appended but not durable is there afterwards or not; what was on its way is covered by its loss. */
function crash(state: State): State[] | undefined {
  if (state.brokerCrashes === 0) return undefined
  let after: State[] = [{ ...state, brokerCrashes: state.brokerCrashes - 1, isAsked: false }]
  const back: Readonly<Record<string, string>> = { s: 'x', c: 'p', r: 'p' }
  const stays: Readonly<Record<string, string>> = { s: 'p', c: 'v', r: 'd' }
  for (let index = 0; index < state.halves.length; index++) {
    const half = state.halves[index] as string
    if (back[half] === undefined) continue
    after = after.flatMap((one) => [
      { ...one, halves: put(one.halves, index, back[half] as string) },
      { ...one, halves: put(one.halves, index, stays[half] as string) },
    ])
  }
  return after
}

function lose(before: State): State[] | undefined {
  if (before.losses === 0) return undefined
  const state = { ...before, losses: before.losses - 1 }
  const states = eachMessage(state, (index) => {
    const lost: State[] = []
    if (state.halves[index] === 'w') lost.push({ ...state, halves: put(state.halves, index, 'x') })
    if (state.ends[index] !== '-') lost.push({ ...state, ends: put(state.ends, index, '-') })
    if (state.sending[index] !== '-') lost.push({ ...state, sending: put(state.sending, index, '-'), relay: '-' })
    return lost
  })
  if (state.answers !== '-') states.push({ ...state, answers: '-' })
  return states
}

export const brokerSteps: readonly OutboxStep[] = [
  { name: 'half arrives', source: [SERVICE, 'appendHalf('], next: arrive },
  { name: 'half or decision is durable', source: [RULES, "['committing', 'stored', 'committed']"], next: store },
  { name: 'END arrives', source: [SERVICE, 'end(request: EndRequest, done: EndDone)'], next: takeEnd },
  {
    name: 'broker asks',
    source: [CHECK_BACK, '#checkOne(half: HalfMessage)'],
    next: (state) => (!state.isAsked && /[sp]/.test(state.halves) ? { ...state, isAsked: true } : undefined),
  },
  {
    name: 'answer to a check-back arrives',
    source: [CHECK_BACK, 'answered(half: HalfMessage, answer: CheckAnswer)'],
    next: takeAnswer,
  },
  {
    name: 'forwarded row arrives',
    source: ['broker/src/dedup/dedup-window.ts', 'export class DedupWindow'],
    next: takeRow,
  },
  { name: 'broker crashes and restarts', source: [SPEC, 'Broker kill -9 + restart'], isFault: true, next: crash },
  { name: 'a message is lost', source: [SPEC, 'App–broker cut'], isFault: true, next: lose },
]
