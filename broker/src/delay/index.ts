export { namesDelay } from './deliver-at.ts'
export { DelayService } from './delay-service.ts'
export type {
  CancelOutcome,
  DelayServiceOptions,
  DelayStats,
  KeyedCancel,
  KeyedReschedule,
  NewTime,
  PendingTimer,
  TimerPage,
  TimerPlace,
  TimerQuery,
} from './types.ts'
export { parseRecallHandle, recallHandle } from './recall-handle.ts'
export type { RecallHandle } from './recall-handle.ts'
