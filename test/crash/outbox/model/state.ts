import type { Setting } from './design.ts'
import type { Step } from './explorer.ts'

/**
 * One transaction key and everything that knows of it. Texts with a character per message: `halves`, `acks`, `ends`, `ended`,
 * `sending`, `rowSeen`.
 */
export interface State {
  /** Where the application stands; `left`: finished, and it will send no more ENDs. */
  readonly app:
    | 'start'
    | 'beginning'
    | 'marked'
    | 'sent'
    | 'ready'
    | 'committing'
    | 'asking'
    | 'rollingBack'
    | 'ending'
    | 'done'
    | 'left'
    | 'dead'
  /** What its caller was told: committed, rolled back, in doubt. */
  readonly told: '-' | 'C' | 'R' | '?'
  /** What its transaction holds besides the marker: `O` rows, `F` rows and the flag. */
  readonly rows: '-' | 'O' | 'F'
  /** No transaction, one that holds the marker's key, one of which a statement failed, one without marker. */
  readonly session: '-' | 'open' | 'failed' | 'unmarked'
  /** Towards Postgres: BEGIN with marker, COMMIT, ROLLBACK, and a marker that comes behind the ROLLBACK. */
  readonly statement: '-' | 'B' | 'K' | 'Z' | 'M'
  readonly reply: '-' | 'begun' | 'COMMIT' | 'WARNING' | 'ROLLBACK' | 'refused' | 'outside' | 'broken'
  /** Tables as the disks of all servers have them; see postgres-log.ts. */
  readonly base: string
  /** Commits that not every server has on disk, in log order; lower case: nobody sees it yet, its backend waits. */
  readonly log: string
  /** How many of them the primary has on disk. */
  readonly flushed: number
  /** Postgres lost the transaction's id in a crash: the next transaction may get it. */
  readonly isIdLost: boolean
  /** `w` on the wire, `s` appended, `p` pending, `c` committing, `v` visible, `r` rolling back, `d` dropped, `x` never came. */
  readonly halves: string
  /** The acknowledgement has left the broker. */
  readonly acks: string
  /** ENDs on the wire: `C` or `R`. */
  readonly ends: string
  /** What the broker answered to an END. */
  readonly ended: string
  readonly isAsked: boolean
  /** Check-backs under way, of the broker and of the application itself (`?`: too late to say): verdicts wait for their commit. */
  readonly resolver: '-' | 'c' | 'r'
  readonly selfCheck: '-' | 'c' | 'r' | '?'
  /** Answers on the wire. */
  readonly answers: '-' | 'C' | 'R' | 'B'
  readonly relay: '-' | 'claiming' | 'sending'
  readonly sending: string
  /** Forwarded messages the broker has taken; `2`: taken for a repeat of something else. */
  readonly rowSeen: string
  readonly sweeper: '-' | 'picked' | 'asked'
  /** The marker is old enough for the sweeper, hence too old for the self check to believe in its absence. */
  readonly isOld: boolean
  /** The savepoint around the second message; `released` also where there is none. */
  readonly savepoint: '-' | 'set' | 'released' | 'undone'
  /** Somebody said the opposite of what the broker had done before. */
  readonly isContradicted: boolean
  readonly crashes: number
  readonly failovers: number
  readonly cancels: number
  readonly cuts: number
  readonly kills: number
  readonly brokerCrashes: number
  readonly losses: number
}

export type OutboxStep = Step<State, Setting>

export function firstState(setting: Setting): State {
  const none = '-'.repeat(setting.messages)
  return {
    ...{ app: 'start', told: '-', rows: '-', session: '-', statement: '-', reply: '-' },
    ...{ base: '---', log: '', flushed: 0, isIdLost: false },
    ...{ halves: none, acks: none, ends: none, ended: none },
    ...{ isAsked: false, resolver: '-', selfCheck: '-', answers: '-' },
    ...{
      relay: '-',
      sending: none,
      rowSeen: none,
      sweeper: '-',
      isOld: false,
      savepoint: setting.hasSavepoint ? '-' : 'released',
      isContradicted: false,
    },
    crashes: setting.postgresCrashes,
    failovers: setting.failovers,
    cancels: setting.cancelledWaits,
    cuts: setting.cutConnections,
    kills: setting.kills,
    brokerCrashes: setting.brokerCrashes,
    losses: setting.losses,
  }
}

export function keyOf(s: State): string {
  const left = `${s.crashes}${s.failovers}${s.cancels}${s.cuts}${s.kills}${s.brokerCrashes}${s.losses}`
  const postgres = `${s.session}/${s.statement}/${s.reply}/${s.base}${s.log}${s.flushed}${s.isIdLost ? 1 : 0}`
  const broker = `${s.halves}${s.acks}${s.ends}${s.ended}${s.sending}${s.rowSeen}${s.isAsked ? 1 : 0}${s.answers}`
  const others = `${s.resolver}${s.selfCheck}${s.relay}/${s.sweeper}${s.isOld ? 1 : 0}${s.savepoint}${s.isContradicted ? 1 : 0}`
  return `${s.app}${s.told}${s.rows}/${postgres}/${broker}${others}${left}`
}

/** `text` with another character at `index`. */
export function put(text: string, index: number, character: string): string {
  return text.slice(0, index) + character + text.slice(index + 1)
}

/** The states that `change` makes of `state`, one for each message it accepts. */
export function eachMessage(state: State, change: (index: number) => State | readonly State[] | undefined): State[] {
  const states: State[] = []
  for (let index = 0; index < state.halves.length; index++) {
    const next = change(index)
    if (next !== undefined) states.push(...(Array.isArray(next) ? (next as readonly State[]) : [next as State]))
  }
  return states
}
