import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Broker, startBroker } from '@tandemmq/broker'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { commands } from './commands.ts'
import { main } from './main.ts'

let directory: string
let broker: Broker

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'tandem-frame-'))
  broker = await startBroker({ dataDir: directory, port: 0, flush: 'async' })
})

afterAll(async () => {
  await broker?.close()
  rmSync(directory, { recursive: true, force: true })
})

async function asked(answer: string, ...argv: string[]) {
  const questions: string[] = []
  const err: string[] = []
  const ask = (question: string): Promise<string> => {
    questions.push(question)
    return Promise.resolve(answer)
  }
  const terminal = { columns: 80, write: () => {}, ask }
  const io = { out: () => {}, err: (line: string) => void err.push(line), stop: new AbortController().signal, terminal }
  const code = await main([...argv, '--name-server', broker.address], io)
  return { code, questions, err: err.join('\n') }
}

const topics = async (): Promise<string> => {
  let out = ''
  const io = { out: (line: string) => void (out += line), err: () => {}, stop: new AbortController().signal }
  expect(await main(['topics', 'list', '--json', '--name-server', broker.address], io)).toBe(0)
  return out
}

test('at a terminal a topic is deleted only after yes, and --yes is not asked', async () => {
  await asked('', 'topics', 'create', 'a')
  for (const answer of ['', 'n', 'yesterday']) {
    const { code, questions, err } = await asked(answer, 'topics', 'delete', 'a')
    expect([code, questions.length, err]).toEqual([1, 1, 'tandem: [ABORTED] nothing was changed'])
  }
  expect(await topics()).toContain('"a"')
  expect(await asked('y', 'topics', 'delete', 'a')).toMatchObject({
    code: 0,
    questions: [expect.stringContaining('a')],
  })
  expect(await topics()).not.toContain('"a"')
  await asked('', 'topics', 'create', 'a')
  expect(await asked('n', 'topics', 'delete', 'a', '--yes')).toMatchObject({ code: 0, questions: [] })
  expect(await topics()).not.toContain('"a"')
})

test.each(commands.map((command) => [command.path.join(' '), command] as const))(
  'the help of %s has its options and an example that is a call of it',
  async (path, command) => {
    let out = ''
    const io = { out: (line: string) => void (out += line), err: () => {}, stop: new AbortController().signal }
    expect(await main([...command.path, '--help'], io)).toBe(0)
    expect(out).toContain(`Example: tandem ${path}`)
    for (const option of Object.keys(command.options ?? {})) expect(out).toContain(`--${option}`)
    for (const common of ['--name-server', '--json', '--help']) expect(out).toContain(common)
    expect(out.includes('--yes')).toBe(command.destructive === true)
    const unknown = await main([...command.path, '--no-such-option'], { ...io, err: (line) => void (out += line) })
    expect(unknown).toBe(2)
  },
)

const changing = /^(delete|reset|redrive|cancel|resolve)$/

test('commands that cannot be taken back are marked as such', () => {
  const unmarked = commands.filter(({ path, destructive }) => changing.test(path[1] ?? '') && destructive !== true)
  expect(unmarked.map(({ path }) => path.join(' '))).toEqual([])
})
