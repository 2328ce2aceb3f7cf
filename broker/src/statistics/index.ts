export { Statistics } from './statistics.ts'
export type { TrafficSources } from './statistics.ts'
export type { StatsData, StatsItem } from './traffic-history.ts'
