import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'

// The built program, as npm installs it.
const program = fileURLToPath(new URL('../bin/tandem.js', import.meta.url))
let directory: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tandem-program-'))
})

afterEach(() => rmSync(directory, { recursive: true, force: true }))

test.each(['SIGTERM', 'SIGINT'] as const)(
  'the program is ready with one line and ends cleanly on %s',
  async (signal) => {
    const child = spawn(process.execPath, [program, 'up', '--port', '0', '--data-dir', join(directory, 'data')])
    let out = ''
    let err = ''
    child.stdout.on('data', (bytes) => (out += bytes))
    child.stderr.on('data', (bytes) => (err += bytes))
    const ended = once(child, 'exit')
    const ready = once(child.stdout, 'data')
    await Promise.race([ready, ended])
    expect([out, err]).toEqual([expect.stringMatching(/^TandemMQ ready on 127\.0\.0\.1:\d+\n$/), ''])
    child.kill(signal)
    expect(await ended).toEqual([0, null])
  },
)

test('the program ends with 2 for wrong usage and 1 for a failure', async () => {
  const codeOf = async (...argv: string[]): Promise<unknown> => {
    const [code] = await once(spawn(process.execPath, [program, ...argv], { stdio: 'ignore' }), 'exit')
    return code
  }
  expect(await codeOf('dance')).toBe(2)
  expect(await codeOf('topics', 'list', '--name-server', '127.0.0.1:1')).toBe(1)
  expect(await codeOf('--help')).toBe(0)
})
