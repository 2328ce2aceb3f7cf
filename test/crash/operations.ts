/** What applications and operators do beside sending and consuming: part of HistoryEvent. */
export type OperationEvent =
  /** An operator sends a dead letter back to its group; `dead` is its offset among the dead letters. */
  | {
      readonly event: 'redrive.start' | 'redrive.ok'
      readonly group: string
      readonly id: string
      readonly dead: number
    }
  /** A delayed message gets another time, `delayMs` from now. */
  | { readonly event: 'reschedule.start'; readonly id: string; readonly delayMs: number }
  | {
      readonly event: 'reschedule.ok'
      readonly id: string
      readonly outcome: 'rescheduled' | 'cancelled' | 'fired' | 'unknown'
    }
  /** The wall clock of the broker was set; it shows `offsetMs` more than the time that passed since the beginning. */
  | { readonly event: 'clock'; readonly offsetMs: number }
  /** The broker starts, with nothing but what is on its disk. */
  | { readonly event: 'restart' }
  /** A request that waits for the reply of `group`. */
  | { readonly event: 'ask.start'; readonly id: string; readonly group: string }
  /** `answers` names the request the reply was made for. */
  | { readonly event: 'ask.ok'; readonly id: string; readonly answers: string }
  | { readonly event: 'ask.fail'; readonly id: string; readonly code: string }
