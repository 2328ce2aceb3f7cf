export { RetryService } from './retry-service.ts'
export type { RetryServiceOptions, SendBackRequest } from './retry-service.ts'
