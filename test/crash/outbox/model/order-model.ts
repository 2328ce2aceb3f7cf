import type { Exploration, Model, Step } from './explorer.ts'
import { explore } from './explorer.ts'

/** What keeps the messages of an ordering key in the order of their commits; each left out once. */
export interface OrderRules {
  /** A transaction whose key has rows in the table adds rows. */
  readonly queuesBehindRows: boolean
  /** The broker holds back what stands behind an undecided half of the same key. */
  readonly holdsBack: boolean
  /** The relay sends the next row of a key after the broker has the one before. */
  readonly sendsOneByOne: boolean
  /** The half leaves after the business statements, which hold the entity's lock. */
  readonly isLate: boolean
}

/**
 * Two transactions that change one entity: `-` not begun, `b` begun with its half sent before the lock, `l` holds the entity's
 * lock, `h` half sent, `f` rows instead, `c` committed, `r` rolled back.
 */
interface OrderState {
  readonly phases: string
  /** It has rows, and its half, if there is one, is to be rolled back. */
  readonly forwarded: string
  /** Transactions in the order of their commits. */
  readonly commits: string
  /** Halves on the wire. */
  readonly wire: string
  /** Of the key at the broker: `p` and its transaction pending, `o` ready but behind somebody. */
  readonly line: readonly string[]
  /** The table, and rows on the wire. */
  readonly rows: string
  readonly sending: string
  readonly rowSeen: string
  readonly visible: string
}

const both = ['1', '2'] as const
const phaseOf = ({ phases }: OrderState, who: string): string => phases[Number(who) - 1] as string
const withPhase = (state: OrderState, who: string, phase: string): OrderState => ({
  ...state,
  phases: who === '1' ? phase + state.phases[1] : state.phases[0] + phase,
})

/** For each of the two. */
const each = (
  next: (state: OrderState, who: string, rules: OrderRules) => OrderState | undefined,
): Step<OrderState, OrderRules>['next'] => {
  return (state, rules) => both.flatMap((who) => next(state, who, rules) ?? [])
}

/** What stands first and waits for nobody becomes visible. */
function released(state: OrderState): OrderState {
  let { line, visible } = state
  while (line[0]?.startsWith('o')) {
    visible += line[0][1]
    line = line.slice(1)
  }
  return { ...state, line, visible }
}

function settle(state: OrderState, who: string, { holdsBack }: OrderRules): OrderState | undefined {
  const at = state.line.indexOf(`p${who}`)
  const phase = phaseOf(state, who)
  if (at < 0 || !'cr'.includes(phase)) return undefined
  if (phase === 'r' || state.forwarded.includes(who)) return released({ ...state, line: state.line.toSpliced(at, 1) })
  if (holdsBack) return released({ ...state, line: state.line.with(at, `o${who}`) })
  return { ...state, line: state.line.toSpliced(at, 1), visible: state.visible + who }
}

function takeRow(state: OrderState, who: string, { holdsBack }: OrderRules): OrderState | undefined {
  if (!state.sending.includes(who)) return undefined
  const taken = { ...state, sending: state.sending.replace(who, '') }
  if (state.rowSeen.includes(who)) return taken
  const seen = { ...taken, rowSeen: state.rowSeen + who }
  return holdsBack ? released({ ...seen, line: [...state.line, `o${who}`] }) : { ...seen, visible: state.visible + who }
}

const isLocked = ({ phases }: OrderState): boolean => /[lhf]/.test(phases)
const OUTBOX = 'packages/outbox/src'
const ORDER = 'broker/src/transaction/group-order'

export const orderSteps: readonly Step<OrderState, OrderRules>[] = [
  {
    name: 'half leaves before the lock is there',
    source: [`${OUTBOX}/transaction/scope.ts`, "if (this.#mode === 'eager' && this.#usesHalves("],
    next: each((state, who, { isLate }) =>
      !isLate && phaseOf(state, who) === '-' ? withPhase({ ...state, wire: state.wire + who }, who, 'b') : undefined,
    ),
  },
  {
    name: 'transaction locks the entity',
    source: [`${OUTBOX}/transaction/scope.ts`, "this.#mode === 'late'"],
    next: each((state, who, { isLate }) => {
      if (isLocked(state) || phaseOf(state, who) !== (isLate ? '-' : 'b')) return undefined
      return withPhase(state, who, isLate ? 'l' : 'h')
    }),
  },
  {
    name: 'half leaves, or rows stand before it',
    source: [`${OUTBOX}/relay/outbox-rows.ts`, 'export async function hasRowsOf('],
    next: each((state, who, { queuesBehindRows }) => {
      if (phaseOf(state, who) !== 'l') return undefined
      if (queuesBehindRows && state.rows !== '')
        return withPhase({ ...state, forwarded: state.forwarded + who }, who, 'f')
      return withPhase({ ...state, wire: state.wire + who }, who, 'h')
    }),
  },
  {
    name: 'no acknowledgement, or the circuit is open: rows',
    source: [`${OUTBOX}/transaction/scope.ts`, 'async #fallBack()'],
    next: each((state, who) =>
      'lh'.includes(phaseOf(state, who))
        ? withPhase({ ...state, forwarded: state.forwarded + who }, who, 'f')
        : undefined,
    ),
  },
  {
    name: 'half arrives',
    source: [`${ORDER}/group-order.ts`, 'reserve('],
    next: each((state, who) =>
      state.wire.includes(who)
        ? { ...state, wire: state.wire.replace(who, ''), line: [...state.line, `p${who}`] }
        : undefined,
    ),
  },
  {
    name: 'transaction commits',
    source: [`${OUTBOX}/transaction/scope.ts`, 'async commit(text: string)'],
    next: each((state, who) => {
      const phase = phaseOf(state, who)
      const commits = state.commits + who
      if (phase === 'h' && state.line.includes(`p${who}`)) return withPhase({ ...state, commits }, who, 'c')
      return phase === 'f' ? withPhase({ ...state, commits, rows: state.rows + who }, who, 'c') : undefined
    }),
  },
  {
    name: 'transaction rolls back',
    source: [`${OUTBOX}/transaction/enlistment.ts`, 'async #rollBack('],
    next: each((state, who) => ('lhf'.includes(phaseOf(state, who)) ? withPhase(state, who, 'r') : undefined)),
  },
  { name: 'END or answer arrives', source: [`${ORDER}/group-order.ts`, 'settled('], next: each(settle) },
  {
    name: 'relay sends, perhaps once more',
    source: [`${OUTBOX}/relay/relay.ts`, 'sendInOrder'],
    next: each((state, who, { sendsOneByOne }) =>
      (sendsOneByOne ? state.rows.startsWith(who) : state.rows.includes(who)) && !state.sending.includes(who)
        ? { ...state, sending: state.sending + who }
        : undefined,
    ),
  },
  {
    name: 'row arrives',
    source: ['broker/src/dedup/dedup-window.ts', 'export class DedupWindow'],
    next: each(takeRow),
  },
  {
    name: 'relay deletes the row',
    source: [`${OUTBOX}/relay/row-remover.ts`, 'table.delete(ids)'],
    next: each((state, who) =>
      state.rows.includes(who) && state.rowSeen.includes(who)
        ? { ...state, rows: state.rows.replace(who, '') }
        : undefined,
    ),
  },
]

/** Both transactions are over, and what is visible is what was committed, in that order. */
const isGood = (state: OrderState): boolean =>
  /^[cr]{2}$/.test(state.phases) &&
  state.wire + state.rows + state.sending + state.line.join('') === '' &&
  state.visible === state.commits

export function exploreOrder(rules: OrderRules): Exploration<unknown> {
  const model: Model<OrderState, OrderRules> = {
    initial: {
      ...{
        phases: '--',
        forwarded: '',
        commits: '',
        wire: '',
        line: [],
        rows: '',
        sending: '',
        rowSeen: '',
        visible: '',
      },
    },
    steps: orderSteps,
    key: (s) =>
      `${s.phases}/${[...s.forwarded].sort().join('')}/${s.commits}/${[...s.wire].sort().join('')}/${s.line.join('')}/${s.rows}/${[...s.sending].sort().join('')}/${[...s.rowSeen].sort().join('')}/${s.visible}`,
    isGood,
    nameBad: ({ visible, commits }) => (visible.length === 2 && visible !== commits ? 'order' : 'stuck'),
  }
  return explore(model, rules)
}
