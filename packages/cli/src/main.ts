import { parseArgs } from 'node:util'
import { TandemError } from '@tandemmq/client'
import { commands } from './commands.ts'
import { UsageError } from './command.ts'
import type { Call, Command } from './command.ts'
import { commandHelp, optionsOf, overview } from './help.ts'
import { processIo } from './io.ts'
import type { Io } from './io.ts'
import { toJson } from './table.ts'

/**
 * Runs one command line.
 * @param argv words after `tandem`
 * @returns the exit code: 0 done, 1 failed, 2 wrong usage. Failures are one line on standard error:
 *   `tandem: [CODE] message`
 */
export async function main(argv: readonly string[], io: Io = processIo()): Promise<number> {
  const found = findCommand(argv)
  if (found === undefined) return noCommand(argv, io)
  const { command, rest } = found
  try {
    const call = callOf(command, rest, io)
    if (call === 'help') io.out(commandHelp(command))
    else await command.run(call)
    return 0
  } catch (error) {
    const usage = isUsage(error)
    io.err(`tandem: ${oneLine(error)}`)
    if (usage) io.err(`See: tandem ${command.path.join(' ')} --help`)
    return usage ? 2 : 1
  }
}

function findCommand(argv: readonly string[]): { command: Command; rest: string[] } | undefined {
  const command = commands.find(({ path }) => path.every((word, at) => argv[at] === word))
  return command && { command, rest: argv.slice(command.path.length) }
}

function noCommand(argv: readonly string[], io: Io): number {
  const [word] = argv
  if (word === '--help' || word === '-h' || word === 'help') {
    io.out(overview(commands))
    return 0
  }
  const group = commands.filter(({ path }) => path[0] === word)
  if (group.length > 0 && (argv.includes('--help') || argv.includes('-h'))) {
    io.out(overview(group))
    return 0
  }
  io.err(`tandem: ${word === undefined ? 'no command given' : `there is no command "${argv.slice(0, 2).join(' ')}"`}`)
  io.err(overview(group.length > 0 ? group : commands))
  return 2
}

function callOf(command: Command, rest: string[], io: Io): Call | 'help' {
  const specs = optionsOf(command)
  const { values, positionals } = parseArgs({
    args: rest,
    allowPositionals: true,
    options: Object.fromEntries(
      Object.entries(specs).map(([name, spec]) => [
        name,
        {
          type: spec.value === undefined ? ('boolean' as const) : ('string' as const),
          multiple: spec.multiple ?? false,
          ...(spec.short === undefined ? {} : { short: spec.short }),
        },
      ]),
    ),
  })
  if (values['help'] === true) return 'help'
  checkPositionals(command, positionals)
  const text = (option: string): string | undefined => values[option] as string | undefined
  return {
    io,
    positionals,
    text,
    required(option) {
      const value = text(option)
      if (value === undefined) throw new UsageError(`--${option} is missing`)
      return value
    },
    integer: (option) => integerOf(option, text(option)),
    flag: (option) => values[option] === true,
    texts: (option) => (values[option] as string[] | undefined) ?? [],
    nameServer: text('name-server') ?? '127.0.0.1:9876',
    json: values['json'] === true,
    report(value, plain) {
      io.out(values['json'] === true ? toJson(value) : plain(value))
    },
    reportLine(value, plain) {
      io.out(values['json'] === true ? toJson(value, 0) : plain(value))
    },
    confirm: (question) => confirm(io, values['yes'] === true, question),
  }
}

async function confirm({ terminal }: Io, isSure: boolean, question: string): Promise<void> {
  if (isSure || terminal === undefined) return
  const answer = await terminal.ask(`${question} [y/N] `)
  if (!/^y(es)?$/i.test(answer.trim())) throw new TandemError('ABORTED', 'nothing was changed')
}

function checkPositionals(command: Command, given: readonly string[]): void {
  const names = command.positionals ?? []
  const needed = names.filter((name) => !name.startsWith('['))
  if (given.length < needed.length) throw new UsageError(`${needed[given.length]} is missing`)
  if (given.length > names.length) throw new UsageError(`"${given[names.length]}" is one word too many`)
}

function integerOf(option: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined
  if (!/^\d{1,15}$/.test(value)) throw new UsageError(`--${option} must be a whole number, not "${value}"`)
  return Number(value)
}

function isUsage(error: unknown): boolean {
  if (error instanceof UsageError) return true
  if (error instanceof TandemError) return error.code === 'OPTION_INVALID'
  return error instanceof Error && String((error as NodeJS.ErrnoException).code).startsWith('ERR_PARSE_ARGS')
}

function oneLine(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error)
  return text.replace(/\s*\n\s*/g, ' ')
}
