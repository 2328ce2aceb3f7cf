export { RedriveService } from './redrive-service.ts'
export type { RedriveResult } from './redrive-service.ts'
export { RetryService } from './retry-service.ts'
export type { GroupPolicy, RetryServiceOptions, SendBackRequest } from './retry-service.ts'
