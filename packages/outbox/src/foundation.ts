// What this package takes from below, in one place.
export type { Clock, Logger, OutgoingMessage, Timer } from '@tandemmq/client'
export { sleep, systemClock, TandemError } from '@tandemmq/client'
