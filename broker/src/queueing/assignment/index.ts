export { RequestModes } from './request-modes.ts'
export type { RequestMode } from './request-modes.ts'
export { allocate } from './strategies.ts'
export type { AssignedQueue } from './strategies.ts'
