export { RetryService } from './retry-service.ts'
export type { GroupPolicy, RetryServiceOptions, SendBackRequest } from './retry-service.ts'
