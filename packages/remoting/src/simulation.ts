export type { CutDirection, MemoryNetworkOptions } from './memory-network.ts'
export { MemoryNetwork } from './memory-network.ts'
export type { VirtualClockOptions } from './virtual-clock.ts'
export { VirtualClock } from './virtual-clock.ts'
