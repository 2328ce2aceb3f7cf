import type { Logger } from './foundation.ts'

const nothing = (): void => {}

/** For whoever gives none. */
export const silentLogger: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing }
