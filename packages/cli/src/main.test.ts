import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { called } from './call-test-kit.ts'
import { commands } from './commands.ts'
import type { Io } from './io.ts'
import { main } from './main.ts'

let directory: string
const endings: (() => unknown)[] = []

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tandem-cli-'))
})

afterEach(async () => {
  for (const end of endings.splice(0).toReversed()) await end()
  rmSync(directory, { recursive: true, force: true })
})

class Terminal implements Io {
  readonly lines: string[] = []
  readonly errors: string[] = []
  readonly stopper = new AbortController()
  readonly stop = this.stopper.signal
  #waiting: (() => void)[] = []

  out(line: string): void {
    this.lines.push(line)
    for (const wake of this.#waiting.splice(0)) wake()
  }

  err(line: string): void {
    this.errors.push(line)
  }

  async line(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      for (const line of this.lines) {
        const match = pattern.exec(line)
        if (match !== null) return match
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }
}

/** A broker started by `tandem up`, stopped after the test. */
async function up(...argv: string[]): Promise<{ address: string; stop: () => Promise<number>; terminal: Terminal }> {
  const terminal = new Terminal()
  const ended = main(['up', '--port', '0', '--data-dir', join(directory, 'data'), ...argv], terminal)
  const failed = ended.then((code) => Promise.reject(new Error(`up ended with ${code}: ${terminal.errors.join('\n')}`)))
  failed.catch(() => {})
  const stop = (): Promise<number> => {
    terminal.stopper.abort()
    return ended
  }
  endings.push(stop)
  const [, address = ''] = await Promise.race([terminal.line(/^TandemMQ ready on (.+)$/), failed])
  return { address, stop, terminal }
}

test('every command has a summary, an example that names it, and help that shows both', async () => {
  for (const command of commands) {
    const { code, out } = await called(...command.path, '--help')
    expect(code).toBe(0)
    expect(command.example.startsWith(command.path.join(' '))).toBe(true)
    expect(out).toContain(command.summary)
    expect(out).toContain(`Example: tandem ${command.example}`)
    expect(out).toContain('--name-server')
    expect(out).toContain('--json')
  }
})

test('the overview names every command', async () => {
  const { code, out } = await called('--help')
  expect(code).toBe(0)
  for (const { path } of commands) expect(out).toContain(path.join(' '))
})

test.each([
  ['no command', []],
  ['an unknown command', ['dance']],
  ['half a command', ['topics']],
  ['an unknown option', ['up', '--dance']],
  ['an option without its value', ['up', '--port']],
  ['a word too many', ['up', 'now']],
  ['a port that is no number', ['up', '--port', 'http']],
  ['a setting without a value', ['up', '--set', 'flush']],
  ['an unknown setting', ['up', '--set', 'speed=11']],
  ['a setting out of range', ['up', '--set', 'flush=sometimes']],
])('%s is wrong usage: exit code 2 and a line that says so', async (_, argv) => {
  const { code, out, err } = await called(...argv)
  expect(code).toBe(2)
  expect(out).toBe('')
  expect(err).toMatch(/^tandem: /)
})

test('an unknown setting is answered with its code and the names there are', async () => {
  const { err } = await called('up', '--set', 'speed=11')
  expect(err).toMatch(/^tandem: \[OPTION_INVALID\] .*speed.*retentionHours/)
})

test('up serves until it is stopped and then ends with exit code 0', async () => {
  const broker = await up()
  expect(broker.terminal.lines).toEqual([`TandemMQ ready on ${broker.address}`])
  expect(broker.address).toMatch(/^127\.0\.0\.1:\d+$/)
  expect(await broker.stop()).toBe(0)
  // The directory and the port are free again, in the very same process.
  const next = await up('--port', broker.address.slice(broker.address.indexOf(':') + 1))
  expect(next.address).toBe(broker.address)
})

test('a used port is one line with a code and exit code 1', async () => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  endings.push(() => server.close())
  const port = (server.address() as AddressInfo).port
  const { code, err } = await called('up', '--port', String(port), '--data-dir', join(directory, 'data'))
  expect(code).toBe(1)
  expect(err).toMatch(/^tandem: \[ADDRESS_IN_USE\] .+$/)
})

test('a second broker on the same directory is refused with DIRECTORY_LOCKED', async () => {
  await up()
  const { code, err } = await called('up', '--port', '0', '--data-dir', join(directory, 'data'))
  expect(code).toBe(1)
  expect(err).toMatch(/^tandem: \[DIRECTORY_LOCKED\] .+$/)
})

test('a data directory that is a file is refused with DIRECTORY_NOT_WRITABLE', async () => {
  writeFileSync(join(directory, 'file'), '')
  const { code, err } = await called('up', '--port', '0', '--data-dir', join(directory, 'file'))
  expect(code).toBe(1)
  expect(err).toMatch(/^tandem: \[DIRECTORY_NOT_WRITABLE\] .+$/)
})
