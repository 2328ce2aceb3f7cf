import type { ClientCore } from '../cluster/client-core.ts'
import type { AttemptWatch } from './attempt-watch.ts'
import type { BusyGate } from './busy-gate.ts'
import type { InFlight } from './in-flight.ts'
import type { QueueSelector } from './queue-selector.ts'
import type { SendTemplate } from './send-frame.ts'
import type { SendTask } from './send-task.ts'

/** Shared by all sends of one producer. */
export interface SendChannel {
  readonly core: ClientCore
  readonly selector: QueueSelector
  /** Hooks look on. */
  readonly isWatched: boolean
  readonly gate: BusyGate
  readonly watch: AttemptWatch
  /** Most that an attempt is waited for before it is repeated, ms. */
  readonly attemptMsMax: number
  template(topic: string, brokerName: string, code: number): SendTemplate
  /** A send began or ended; `close()` waits for all of them. */
  readonly inFlight: InFlight<SendTask>
}
