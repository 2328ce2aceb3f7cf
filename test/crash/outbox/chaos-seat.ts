import type { ChildProgram } from '../../kit/child-program.ts'
import type { SeededRandom } from '../../kit/seeded-random.ts'
import type { StreamProxy } from './stream-proxy.ts'

export type Design = 'outbox' | 'half-first' | 'xid-status' | 'tag-unchecked' | 'end-first'

export interface WorldOptions {
  random: SeededRandom
  /** Who sits where, default three times `outbox`. */
  designs?: readonly Design[]
  /** Transactions under way at once in each, default 12. */
  workers?: number
  /** Shares of kinds of transactions, see order-maker.mjs. */
  mix?: Readonly<Record<string, number>>
  /** postgresql.conf. */
  postgres?: Readonly<Record<string, string>>
  /** Broker options. */
  broker?: Readonly<Record<string, string | number>>
  /** `host:port` of the name server of a cluster that runs already, a stock one too. Default: a broker of ours is started. */
  nameServer?: string
}

/** A seat for an app process with its own ways to Postgres and broker; one process after the other sits there. */
export interface Seat {
  readonly index: number
  readonly design: Design
  readonly postgres: StreamProxy
  readonly broker: StreamProxy
  name: string
  /** Of the orders of the process that sits there. */
  firstId: number
  program: ChildProgram
}
