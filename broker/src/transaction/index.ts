export type { CheckPeer } from './check-lanes.ts'
export type { Decision, HalfState } from './half-rules.ts'
export type { EndDone, HalfMessage, Outcome } from './half-message.ts'
export { type OperatorDecision, OperatorDecisions } from './operator-decisions.ts'
export { GroupOrder } from './group-order/index.ts'
export type { GroupOrderStats, HeldGroup } from './group-order/index.ts'
export { TransactionService } from './transaction-service.ts'
export type {
  EndRequest,
  PendingTransaction,
  TransactionServiceOptions,
  TransactionStats,
} from './types.ts'
