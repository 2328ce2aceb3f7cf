export { LeaseService, openLeaseTables } from './lease-service.ts'
export type { LeaseStats, LeaseTables } from './lease-service.ts'
