import type { Io } from './io.ts'

/** One `--name` of a command. `value` is what the help shows after it; without it the option is a flag. */
export interface OptionSpec {
  value?: string
  help: string
  short?: string
  multiple?: true
}

/** What a command was called with, already checked against its table entry. */
export interface Call {
  io: Io
  positionals: string[]
  /** Undefined when the option was not given. */
  text(option: string): string | undefined
  /** @throws {UsageError} when the option was not given */
  required(option: string): string
  /** @throws {UsageError} when the text is no whole number >= 0 */
  integer(option: string): number | undefined
  flag(option: string): boolean
  texts(option: string): string[]
  nameServer: string
  /** True: `report` prints JSON. */
  json: boolean
  /** Prints `value` as JSON under `--json`, else what `plain` makes of it. */
  report<T>(value: T, plain: (value: T) => string): void
  /** One of many results, printed as it comes: one line of JSON under `--json`, else what `plain` makes of it. */
  reportLine<T>(value: T, plain: (value: T) => string): void
  /**
   * Asks before something that cannot be taken back; only on a terminal and without `--yes`. For commands that are `destructive`.
   * @param question ends before the choice, e.g. `Delete topic orders with its messages?`
   * @throws {TandemError} ABORTED unless the answer is yes
   */
  confirm(question: string): Promise<void>
}

/** One line of the command table. */
export interface Command {
  /** Words after `tandem`. */
  path: readonly string[]
  summary: string
  /** Names of the positionals in order, e.g. `['TOPIC']`; one in brackets may be left out. */
  positionals?: readonly string[]
  options?: Readonly<Record<string, OptionSpec>>
  /** Takes `--yes`, and calls `confirm` before it acts. */
  destructive?: true
  /** A call that works as it stands, without the leading `tandem`. */
  example: string
  run(call: Call): Promise<void>
}

/** The command line itself is wrong: exit code 2. */
export class UsageError extends Error {}
