import type { Command, OptionSpec } from './command.ts'

/** Options every command has. */
export const commonOptions: Readonly<Record<string, OptionSpec>> = {
  'name-server': { value: 'HOST:PORT', help: 'where to find the broker, default 127.0.0.1:9876' },
  json: { help: 'print JSON for programs' },
  help: { short: 'h', help: 'print this' },
}

const yes: Readonly<Record<string, OptionSpec>> = { yes: { short: 'y', help: 'do it without asking' } }

/** The command's own options and those of the frame around it. */
export function optionsOf(command: Command): Readonly<Record<string, OptionSpec>> {
  return { ...command.options, ...(command.destructive && yes), ...commonOptions }
}

export function usageLine(command: Command): string {
  return ['tandem', ...command.path, ...(command.positionals ?? []), '[options]'].join(' ')
}

export function commandHelp(command: Command): string {
  const rows = Object.entries(optionsOf(command)).map(([name, spec]) => {
    const left = `--${name}${spec.value === undefined ? '' : ` ${spec.value}`}${spec.short ? `, -${spec.short}` : ''}`
    return [left, spec.multiple ? `${spec.help} (may be repeated)` : spec.help]
  })
  return [
    command.summary,
    '',
    `Usage: ${usageLine(command)}`,
    '',
    ...columns(rows),
    '',
    `Example: tandem ${command.example}`,
  ].join('\n')
}

export function overview(commands: readonly Command[]): string {
  const rows = commands.map((command) => [[...command.path, ...(command.positionals ?? [])].join(' '), command.summary])
  return [
    'tandem: run and operate TandemMQ',
    '',
    'Usage: tandem COMMAND [options]',
    '',
    ...columns(rows),
    '',
    '`tandem COMMAND --help` shows the options and an example. Exit code: 0 done, 1 failed, 2 wrong usage.',
  ].join('\n')
}

function columns(rows: readonly (readonly (string | undefined)[])[]): string[] {
  const width = Math.max(...rows.map(([left = '']) => left.length))
  return rows.map(([left = '', right = '']) => `  ${left.padEnd(width)}  ${right}`)
}
