import type { Bounds, Design, Setting } from './design.ts'
import { calm, product } from './design.ts'
import type { Kind } from './outbox-model.ts'

export interface Variant {
  readonly name: string
  readonly setting: Setting
  /** What the exploration must find; nothing: it must be clean. */
  readonly finds?: Kind
}

const variant = (name: string, design: Partial<Design>, bounds: Partial<Bounds> = {}, finds?: Kind): Variant => ({
  name,
  setting: { ...product, ...calm, ...design, ...bounds },
  ...(finds === undefined ? {} : { finds }),
})

// Before the sweeper, fallback and tombstone rules were found: the letters of docs/spec/outbox.md 2.4.
const bare: Partial<Design> = { sweeper: 'nobody', fallback: 'rollBack', tombstones: 'kept' }
const a: Partial<Design> = { ...bare, first: 'half', checkBack: 'select' }
const b: Partial<Design> = { ...bare, checkBack: 'select' }
const d: Partial<Design> = { ...bare, checkBack: 'advisoryLock' }
const e: Partial<Design> = { ...bare, first: 'half' }
const f: Partial<Design> = { ...bare }
const f3: Partial<Design> = { ...f, sweeper: 'pickThenAsk', tombstones: 'collectedOld' }
/** Fewer states where the sweeper is not the question. */
const unswept: Partial<Design> = { sweeper: 'nobody', tombstones: 'kept' }
const crash: Partial<Bounds> = { postgresCrashes: 1, kills: 1 }
const standby: Partial<Bounds> = { standby: 'synchronous', failovers: 1, cancelledWaits: 1 }

/** docs/spec/outbox.md 2.4, row by row. */
export const designs: readonly Variant[] = [
  variant('A half first, check-back by SELECT', a, {}, 'lost'),
  variant('B marker first, check-back by SELECT', b, {}, 'lost'),
  variant(
    'C check-back by transaction id alone',
    { ...bare, checkBack: 'transactionStatus' },
    { postgresCrashes: 1 },
    'ghost',
  ),
  variant('D marker first, advisory lock and SELECT', d, crash),
  variant('D2 D with synchronous_commit=off', { ...d, isCommitSynchronous: false }, crash, 'ghost'),
  variant('D3 D with the half first', { ...d, first: 'half' }, {}, 'lost'),
  variant('D4 D with a cancelled wait for the standby', d, standby, 'ghost'),
  variant('E half first, upsert, tombstones kept', e, crash),
  variant('E2 E with tombstones collected early', { ...e, tombstones: 'collectedAnyTime' }, {}, 'lost'),
  variant(
    'E3 E with a check-back that does not wait for the disk',
    { ...e, isCheckBackSynchronous: false },
    { postgresCrashes: 1 },
    'lost',
  ),
  variant('F marker first, upsert', f, crash),
  variant('F1 F with tombstones collected at any time', { ...f, tombstones: 'collectedAnyTime' }, crash),
  variant('F2 F with markers collected by age', { ...f, sweeper: 'byAge' }, {}, 'lost'),
  variant('F3 F with pick, ask, delete', f3, crash),
  variant('F5 F3 with fallback, marker stays C', { ...f3, fallback: 'rowsAlone' }, {}, 'double'),
  variant('F6 F3 with fallback and flag', { ...f3, fallback: 'rowsAndFlag' }, crash),
  variant('F6 with failover to a synchronous standby', {}, { standby: 'synchronous', failovers: 1 }),
  variant(
    'F6 with failover to a lagging asynchronous standby',
    unswept,
    { standby: 'asynchronous', failovers: 1 },
    'ghost',
  ),
  variant(
    'G F with synchronous_commit=off in the application',
    { ...f, isCommitSynchronous: false },
    { postgresCrashes: 1 },
    'ghost',
  ),
  variant('G2 F with the warning of a cancelled wait ignored', { ...f, onWarning: 'committed' }, standby, 'ghost'),
  variant('G3 F with that warning in doubt', f, standby),
  variant('H F without a look at the tag of COMMIT', { ...f, end: 'afterAnyAnswer' }, {}, 'ghost'),
]

/** Rules of the product, each left out once. */
export const leftOut: readonly Variant[] = [
  variant('END before COMMIT is answered', { end: 'beforeAnswer' }, {}, 'ghost'),
  variant(
    'a COMMIT without an answer taken for rolled back',
    { onBrokenCommit: 'rolledBack' },
    { cutConnections: 1 },
    'lost',
  ),
  variant('self check without a limit', { hasSelfCheckLimit: false }, { cutConnections: 1 }, 'untrue'),
  variant('marker and half sent together', { first: 'together' }, {}, 'lost'),
  variant('sweeper asks before it picks', { sweeper: 'askThenPick' }, {}, 'lost'),
  variant('forwarded rows under the key of their half', { rowKey: 'ofTheHalf' }, {}, 'lost'),
  variant('halves acknowledged before they are durable', { halfAck: 'appended' }, { brokerCrashes: 1 }, 'lost'),
  variant('ENDs acknowledged before they are durable', { endAck: 'appended' }, { brokerCrashes: 1 }, 'lost'),
  variant('an operator who decides by SELECT', { operator: 'bySelect' }, {}, 'lost'),
  variant(
    'a message of a savepoint sent at once',
    { savepoint: 'sentAtOnce' },
    { messages: 2, hasSavepoint: true },
    'ghost',
  ),
  variant('a joined marker behind ROLLBACK not noticed', { isJoinChecked: false }, { isJoined: true }, 'ghost'),
  variant('rows claimed without waiting for the standby', { ...unswept, isClaimSynchronous: false }, standby, 'ghost'),
  variant(
    'the warning of a cancelled claim ignored',
    { ...unswept, onClaimWarning: 'claimed' },
    { ...standby, cancelledWaits: 2 },
    'ghost',
  ),
]

/** The product; more of everything in the long run. */
export const products = (isLong: boolean): readonly Variant[] => {
  const more = isLong ? 2 : 1
  return [
    variant('nothing breaks', {}),
    variant('Postgres crashes, processes die', {}, { postgresCrashes: more, kills: more }),
    variant('a cancelled wait and a failover', {}, { ...standby, postgresCrashes: isLong ? 1 : 0 }),
    variant(
      'the broker crashes, messages are lost or come twice',
      {},
      { brokerCrashes: more, losses: more, hasDuplicates: true, kills: more - 1 },
    ),
    variant('connections break, processes die', {}, { cutConnections: more, kills: more, losses: more - 1 }),
    variant('two messages', {}, { messages: 2, kills: more, losses: more - 1 }),
    variant('two messages, the broker may crash', {}, { messages: 2, brokerCrashes: more - 1, losses: more - 1 }),
    variant(
      'a savepoint around the second message',
      {},
      { messages: 2, hasSavepoint: true, kills: more - 1, cutConnections: more - 1 },
    ),
    variant('a joined transaction', {}, { isJoined: true, kills: 1, cutConnections: more, postgresCrashes: more - 1 }),
  ]
}
