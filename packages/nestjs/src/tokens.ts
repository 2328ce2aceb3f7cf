/**
 * Injection tokens are registered symbols, so that two copies of this package in one process (a workspace link beside
 * an installed one) still mean the same provider.
 */
export const TANDEM_OPTIONS: unique symbol = Symbol.for('tandemmq.nestjs.options')

/** What a test kit puts over the options of the application; see {@link TandemOverrides}. */
export const TANDEM_OVERRIDES: unique symbol = Symbol.for('tandemmq.nestjs.overrides')

/** Transport id of `@TandemEvent` and `@TandemRequest`; its description is what instrumentation shows as protocol. */
export const TANDEM_TRANSPORT: unique symbol = Symbol.for('tandemmq')

/**
 * Transport id of one connection: `Symbol.for('tandemmq')`, of a named one `Symbol.for('tandemmq:<name>')`. Two connections of
 * one application need two, or Nest gives every handler to both.
 */
export function tandemTransport(connection?: string): symbol {
  return connection === undefined ? TANDEM_TRANSPORT : Symbol.for(`tandemmq:${connection}`)
}

export const LISTENER_CLASS: unique symbol = Symbol.for('tandemmq.nestjs.listener')
export const LISTENER_METHODS: unique symbol = Symbol.for('tandemmq.nestjs.methods')

export const TRANSACTION_LISTENER: unique symbol = Symbol.for('tandemmq.nestjs.transaction')

/** Name of the connection of `forRoot` without a `name`. */
export const DEFAULT_CONNECTION = 'default'

/** Token of the options of a connection, to override them in a test. */
export function tandemOptionsToken(connection: string = DEFAULT_CONNECTION): symbol {
  return connection === DEFAULT_CONNECTION ? TANDEM_OPTIONS : Symbol.for(`tandemmq.nestjs.options.${connection}`)
}
