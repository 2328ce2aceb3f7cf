// Disks, clock and network for tests and simulations; nothing here belongs into production.
export { MemoryNetwork, VirtualClock } from '@tandemmq/remoting/simulation'
export type { MemoryNetworkOptions, VirtualClockOptions } from '@tandemmq/remoting/simulation'
export { FaultDisk, PowerCut, seededChance } from './store/fault-disk.ts'
export type { Fault, FaultDiskOptions } from './store/fault-disk.ts'
export { MemoryDisk } from './store/memory-disk.ts'
export type { MemoryDiskOptions } from './store/memory-disk.ts'
