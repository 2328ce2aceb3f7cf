/** What a variant of the protocol does at the places where variants differ. */
export interface Design {
  /** What is there before the half message leaves. `together`: both leave at once. */
  readonly first: 'marker' | 'half' | 'together'
  /** How a check-back finds its answer. */
  readonly checkBack: 'upsert' | 'select' | 'advisoryLock' | 'transactionStatus'
  /** The check-back's own commit is durable before its answer leaves. */
  readonly isCheckBackSynchronous: boolean
  /** The application's COMMIT waits for the disk, and for the standby where there is one. */
  readonly isCommitSynchronous: boolean
  /** So does the relay's claim of rows. */
  readonly isClaimSynchronous: boolean
  /** What the application makes of the warning that its wait for the standby was cancelled. */
  readonly onWarning: 'inDoubt' | 'committed'
  /** What the relay makes of it. */
  readonly onClaimWarning: 'notClaimed' | 'claimed'
  /** When END(commit) is sent: after COMMIT answered COMMIT, after it answered anything, before it answered. */
  readonly end: 'afterTag' | 'afterAnyAnswer' | 'beforeAnswer'
  /** A COMMIT that was not answered: ask, or take it for rolled back. */
  readonly onBrokenCommit: 'ask' | 'rolledBack'
  /** An absent marker says "rolled back" to the self check only while the sweeper cannot have been there. */
  readonly hasSelfCheckLimit: boolean
  readonly tombstones: 'kept' | 'collectedOld' | 'collectedAnyTime'
  /** Who deletes markers of dead processes. `askThenPick` has the right steps in the wrong order. */
  readonly sweeper: 'nobody' | 'byAge' | 'pickThenAsk' | 'askThenPick'
  /** What happens when the acknowledgement of a half does not come in time. */
  readonly fallback: 'rollBack' | 'rowsAndFlag' | 'rowsAlone'
  /** Dedup key of a forwarded row. */
  readonly rowKey: 'own' | 'ofTheHalf'
  /** When the broker acknowledges a half, and an END. */
  readonly halfAck: 'durable' | 'appended'
  readonly endAck: 'durable' | 'appended'
  /** An operator who decides halves by what a SELECT shows. */
  readonly operator: 'nobody' | 'bySelect'
  /** A message of a savepoint: kept until its release, or sent under the key of the transaction. */
  readonly savepoint: 'waits' | 'sentAtOnce'
  /** Joined: the answer to the marker says whether it was inside of the transaction. */
  readonly isJoinChecked: boolean
}

/** What surrounds the protocol, and how much of it breaks. */
export interface Bounds {
  readonly messages: 1 | 2
  /** The second message is sent inside a savepoint. */
  readonly hasSavepoint: boolean
  /** Somebody else begins the transaction; the first message brings the marker. */
  readonly isJoined: boolean
  readonly standby: 'none' | 'synchronous' | 'asynchronous'
  readonly postgresCrashes: number
  readonly failovers: number
  readonly cancelledWaits: number
  readonly cutConnections: number
  /** Of the application, a relay or a resolver. */
  readonly kills: number
  readonly brokerCrashes: number
  /** Messages between application and broker that never arrive. */
  readonly losses: number
  /** Messages may arrive twice. */
  readonly hasDuplicates: boolean
}

/** The product. */
export const product: Design = {
  first: 'marker',
  checkBack: 'upsert',
  isCheckBackSynchronous: true,
  isCommitSynchronous: true,
  isClaimSynchronous: true,
  onWarning: 'inDoubt',
  onClaimWarning: 'notClaimed',
  end: 'afterTag',
  onBrokenCommit: 'ask',
  hasSelfCheckLimit: true,
  tombstones: 'collectedOld',
  sweeper: 'pickThenAsk',
  fallback: 'rowsAndFlag',
  rowKey: 'own',
  halfAck: 'durable',
  endAck: 'durable',
  operator: 'nobody',
  savepoint: 'waits',
  isJoinChecked: true,
}

export const calm: Bounds = {
  messages: 1,
  hasSavepoint: false,
  isJoined: false,
  standby: 'none',
  postgresCrashes: 0,
  failovers: 0,
  cancelledWaits: 0,
  cutConnections: 0,
  kills: 0,
  brokerCrashes: 0,
  losses: 0,
  hasDuplicates: false,
}

export type Setting = Design & Bounds
