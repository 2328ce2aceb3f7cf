import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { chmodSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { inputFile } from './demo/input.ts'

const program = fileURLToPath(new URL('../dist/demo.js', import.meta.url))
const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
const SMALL = ['--plain', '--orders', '60', '--rate', '40']
let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tandemmq-demo-test-'))
  // As /tmp: when this user is root, Postgres runs as another one and has to remove its own folder here.
  chmodSync(folder, 0o1777)
})

afterEach(() => rmSync(folder, { recursive: true, force: true }))

interface Run {
  child: ChildProcess
  output: string
  ended: Promise<number | null>
}

function start(args: string[]): Run {
  const env = { ...process.env, TMPDIR: folder }
  delete (env as NodeJS.ProcessEnv)['TANDEMMQ_TEST_POSTGRES']
  const child = spawn(process.execPath, [program, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const run: Run = { child, output: '', ended: new Promise((resolve) => child.once('close', resolve)) }
  for (const pipe of [child.stdout, child.stderr]) pipe?.on('data', (chunk) => (run.output += String(chunk)))
  return run
}

/** Processes that were started with this test's temporary folder. */
function processesLeft(): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`TMPDIR=${folder}\0`)
    } catch {
      return false
    }
  })
}

/** Postgres' keeper ends a moment after the demo, so this waits for it. */
async function nothingIsLeft(): Promise<void> {
  await expect.poll(() => readdirSync(folder), { timeout: 5_000 }).toEqual([])
  if (process.platform === 'linux') await expect.poll(processesLeft, { timeout: 5_000 }).toEqual([])
}

test('a run with all its kills ends with every count right, --keep keeps it running, and nothing is left behind', {
  timeout: 180_000,
}, async () => {
  const run = start([...SMALL, '--keep'])
  await expect.poll(() => run.output, { timeout: 160_000 }).toMatch(/Ctrl-C stops it all|WRONG|failed:/)
  expect(run.output).toMatch(/orders +killed with SIGKILL right after COMMIT/)
  expect(run.output).toMatch(/broker +killed with SIGKILL/)
  expect(run.output).toMatch(/stock +killed with SIGKILL/)
  expect(run.output).toContain('dead letter O-1023: order O-1023: the warehouse has no article TD-900')
  expect(run.output).toMatch(/has bought TD-900; dead letters redriven: 1/)
  expect(run.output).toMatch(/orders +GET \/health: 503/)
  expect(run.output).toMatch(/All 22 counts are right/)
  expect(treeIn(run.output)).toEqual([
    'POST /orders',
    '├─ send stock-levels',
    '│  └─ process stock-levels [stock-levels]',
    '│     └─ reply DefaultCluster_REPLY_TOPIC',
    '├─ enqueue orders placed',
    '│  └─ process orders placed [billing-journal]',
    '└─ enqueue orders paid',
    ...[
      '├─ process orders paid [billing-journal]',
      '├─ process orders paid [billing]',
      '└─ process orders paid [stock]',
    ],
  ])
  run.child.kill('SIGINT')
  expect(await run.ended, run.output).toBe(0)
  await nothingIsLeft()
})

test('one order with another outcome than expected makes the exit code 1', { timeout: 180_000 }, async () => {
  const input = join(folder, 'input')
  cpSync(inputFile({ input: undefined }, ''), input, { recursive: true })
  const outcomes = join(input, 'outcomes.csv')
  writeFileSync(outcomes, readFileSync(outcomes, 'utf8').replace('O-1040,paid', 'O-1040,invalid'))
  const run = start([...SMALL, '--input', input])
  expect(await run.ended, run.output).toBe(1)
  expect(run.output).toMatch(/shipped by stock: foreign: O-1040/)
  expect(run.output).toMatch(/refused: invalid: lost: O-1040/)
  rmSync(input, { recursive: true })
  await nothingIsLeft()
})

test('Ctrl-C in the middle ends everything', { timeout: 120_000 }, async () => {
  const run = start(SMALL)
  await expect.poll(() => run.output, { timeout: 80_000 }).toMatch(/orders +started;/)
  run.child.kill('SIGINT')
  expect(await run.ended, run.output).toBe(130)
  await nothingIsLeft()
})

test('--stay prints commands that work, shows what they lead to, and Ctrl-C ends it', {
  timeout: 120_000,
}, async () => {
  const run = start(['--plain', '--stay'])
  await expect.poll(() => run.output, { timeout: 80_000 }).toContain('Ctrl-C stops it all')
  const tandem = fileURLToPath(new URL('../../../packages/cli/bin/tandem.js', import.meta.url))
  const commands = [...run.output.matchAll(/^ +npx tandem (.+)$/gm)].map(([, line = '']) => line.replaceAll("'", ''))
  expect(commands.length).toBeGreaterThan(3)
  for (const line of commands) {
    const { status, stderr } = spawnSync(process.execPath, [tandem, ...line.split(' ')], { encoding: 'utf8' })
    expect(`${line}: ${status} ${stderr}`).toBe(`${line}: 0 `)
  }
  expect(withoutPorts(curlCommands(run.output))).toEqual(withoutPorts(curlCommands(readme)))
  const answers = []
  for (const line of curlCommands(run.output)) answers.push(await asCurl(line))
  expect(answers.map(({ status }) => status)).toEqual([201, 201, 200, 200, 200, 200, 200, 200])
  expect(answers[3]?.body).toMatchObject({ id: 'A-2', status: 'paid', amount: '99.80' })
  await expect
    .poll(async () => (await asCurl(curlCommands(run.output)[4] ?? '')).body, { timeout: 10_000 })
    .toEqual(['placed', 'paid'])
  await expect
    .poll(() => run.output, { timeout: 10_000 })
    .toMatch(/POST \/orders\/:id\/payment[^]+└─ enqueue orders paid/)
  run.child.kill('SIGINT')
  expect(await run.ended).toBe(0)
  await nothingIsLeft()
})

function curlCommands(text: string): string[] {
  return [...text.matchAll(/^ *curl (.+)$/gm)].map(([, line = '']) => line)
}

/** Ports may be others, and comments are. */
function withoutPorts(commands: string[]): string[] {
  return commands.map((line) => line.replace(/:\d+/, '').replace(/ +# .*$/, ''))
}

/** What curl would do with these arguments; not every machine has it. */
async function asCurl(line: string): Promise<{ status: number; body: unknown }> {
  const [url = ''] = /localhost:\S+/.exec(line) ?? []
  const body = /-d '([^']+)'/.exec(line)?.[1]
  const method = /-X (\S+)/.exec(line)?.[1] ?? (body === undefined ? 'GET' : 'POST')
  const headers = body === undefined ? {} : { 'content-type': 'application/json' }
  const response = await fetch(`http://${url}`, { method, headers, ...(body !== undefined && { body }) })
  return { status: response.status, body: await response.json() }
}

/** The first tree that is printed, without who and when; groups that hear of one message do so in any order. */
function treeIn(output: string): string[] {
  const [, tree = ''] = /one trace through \d processes:\n([^]+?)\n\n/.exec(output) ?? []
  const lines = tree.split('\n').map((line) => line.slice(2).replace(/ {2,}\S+ +\+\d+ ms.*$/, ''))
  const groups = lines.slice(-3).map((line) => line.replace(/^[ ├└─]+/, ''))
  const sorted = groups.toSorted().map((name, index) => `${index < 2 ? '├─' : '└─'} ${name}`)
  return [...lines.slice(0, -3), ...sorted]
}

test('options that are none are told with exit code 2', async () => {
  const run = start(['--orders', 'some'])
  expect(await run.ended).toBe(2)
  expect(run.output).toMatch(/--orders takes a whole number[\s\S]*usage: npm run demo/)
})
