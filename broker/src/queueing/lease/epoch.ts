import type { Lease } from './lease-queue.ts'

/** What every lease of one pop has in common. */
export type Epoch = Pick<Lease, 'popTime' | 'invisibleMs' | 'reviveQueueId'>

/** Whether the lease is alive and of this epoch. */
export const isOf = (lease: Lease, receipt: Pick<Epoch, 'popTime' | 'reviveQueueId'>): boolean =>
  lease.popTime === receipt.popTime &&
  lease.reviveQueueId === receipt.reviveQueueId &&
  !lease.isReviving &&
  !lease.isWaiting
