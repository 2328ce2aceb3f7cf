/**
 * What the processes of a chaos run write down, JSON lines with `t` in ns of one clock for all of them. Rules read these and
 * nothing else: no product code, no file of the broker.
 */
export type ChaosEvent = { readonly t: number; readonly wall: number; readonly proc: string } & (
  | {
      readonly event: 'send.start'
      readonly id: string
      readonly topic: string
      readonly kind: 'plain' | 'dedup' | 'delayed' | 'half' | 'ordered' | 'failing' | 'request'
      readonly hash: string
      /** Messages of one key have an order. */
      readonly key?: string
      readonly dedupKey?: string
      readonly delayMs?: number
      /** Wall clock, ms. */
      readonly deliverAt?: number
    }
  | {
      readonly event: 'send.ok'
      readonly id: string
      readonly queueId: number
      readonly offset: number
      readonly duplicate: boolean
    }
  | { readonly event: 'send.unknown' | 'send.fail'; readonly id: string; readonly code: string }
  | { readonly event: 'local.commit' | 'local.rollback'; readonly id: string }
  | { readonly event: 'cancel.start'; readonly id: string }
  | { readonly event: 'cancel.ok'; readonly id: string; readonly outcome: 'cancelled' | 'fired' | 'unknown' }
  /** `answers`: the id of the request that the reply says it is for. */
  | { readonly event: 'request.ok'; readonly id: string; readonly answers: string }
  | { readonly event: 'request.fail'; readonly id: string; readonly code: string }
  | {
      readonly event: 'join'
      readonly group: string
      readonly topic: string
      readonly member: string
      readonly mode: GroupMode
      readonly attemptsMax: number
      readonly invisibleMs?: number
    }
  | Received
  /** How the handler that `recv` with the same `op` began has ended. `lost`: it was told that the message is not its own. */
  | { readonly event: 'done' | 'reject' | 'lost'; readonly op: string }
  | { readonly event: 'nack'; readonly op: string; readonly delayMs: number }
  /** One message as it lies in a queue at the end; `storedAt` by the broker's wall clock, ms. */
  | {
      readonly event: 'stored'
      readonly id: string
      readonly hash: string
      readonly topic: string
      readonly queueId: number
      readonly offset: number
      readonly storedAt: number
      readonly dedupKey?: string
      /** Only of a dead letter: the group that gave it up, and why. */
      readonly deadFor?: string
      readonly reason?: string
    }
  /** Before it is done to `target`, a process or a client's connections. */
  | { readonly event: 'fault'; readonly kind: FaultKind; readonly target: string }
  /** The machine had no time for the harness, and so perhaps for nobody, during the last `ms`. */
  | { readonly event: 'stall'; readonly ms: number }
  | { readonly event: 'fault.end'; readonly kind: FaultKind; readonly target: string; readonly readyMs?: number }
)

/** Of a group. `ordered` and `lease-ordered` keep the order of each key. */
export type GroupMode = 'clustering' | 'broadcasting' | 'ordered' | 'lease' | 'lease-ordered'

export type FaultKind = 'kill' | 'terminate' | 'stop' | 'cut' | 'reset' | 'delay' | 'dropReply'

/** A handler begins. */
export interface ReceivedFields {
  readonly event: 'recv'
  readonly op: string
  readonly id: string
  readonly hash: string
  readonly group: string
  readonly member: string
  /** Where it lay: the topic it was sent to, or that of retries. */
  readonly topic: string
  readonly queueId: number
  readonly offset: number
  readonly attempt: number
  readonly storedAt: number
  /** Leases: when it began by the broker's wall clock, ms. */
  readonly popTime?: number
}
type Received = ReceivedFields

export type ReceivedEvent = ChaosEvent & { event: 'recv' }

export interface Violation {
  readonly rule: string
  readonly text: string
  /** Where in the history it shows, ns. */
  readonly t: number
  /** Ids and ops to look for in the logs. */
  readonly words: readonly string[]
}

/** Takes a whole history in the order of time. */
export interface Rule {
  take(event: ChaosEvent): void
  violations(): Violation[]
  /** For the table, by the words it prints. */
  figures(): Readonly<Record<string, number>>
}

export const MS = 1e6
