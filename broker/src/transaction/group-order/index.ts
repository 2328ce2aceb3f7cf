export { GroupOrder } from './group-order.ts'
export type { HoldsBack } from './group-order.ts'
export type { GroupOrderOptions, GroupOrderStats, HeldGroup } from './types.ts'
