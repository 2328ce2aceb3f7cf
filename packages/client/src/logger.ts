/** Where a client reports what no caller is waiting for. `console` fits. */
export interface Logger {
  debug(text: string, ...details: unknown[]): void
  info(text: string, ...details: unknown[]): void
  warn(text: string, ...details: unknown[]): void
  error(text: string, ...details: unknown[]): void
}

const nothing = (): void => undefined

/** The default: a library does not write to its user's terminal. */
export const silentLogger: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing }
