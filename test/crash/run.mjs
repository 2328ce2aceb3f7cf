// The crash tests at length: `npm run crash -- --seed 2` (the laboratory of test/crash/lab, all of it follows from the seed),
// `npm run crash:broker -- --kills 50 --seed 7`, `npm run crash:outbox -- --rounds 10`,
// `npm run crash:outbox -- chaos --minutes 10` (also: controls; snapshot --minutes 20; matrix or failover --rounds 20; drain --rows 1000000;
// model, with --traces the ways to the violations),
// `npm run crash:outbox -- chaos --minutes 10 --nameserver HOST:PORT` (a cluster that runs already, Apache's too),
// `npm run powercut -- --cycles 500`, `npm run chaos -- --minutes 10`,
// `npm run chaos -- --mutants` (mistakes made on purpose, which it must find). A run with the same seed chooses the same
// moments; what the machine does in between is its own.
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const tests = {
  lab: {
    // The points take as long as all the others: each half has a process of its own.
    files: ['test/crash/crash-lab.test.ts'],
    beside: ['test/crash/mutants.test.ts', 'test/crash/bit-flips.test.ts'],
    defaults: { full: '1', seed: '1', flips: '1000' },
    figures: true,
  },
  broker: { files: ['test/crash/broker-kill.test.ts'], defaults: { kills: '50' } },
  outbox: { files: ['test/crash/outbox/outbox-kill.test.ts'], defaults: { rounds: '10' } },
  'outbox chaos': { files: ['test/crash/outbox/outbox-chaos.test.ts'], defaults: { minutes: '10' } },
  'outbox controls': { files: ['test/crash/outbox/outbox-controls.test.ts'], defaults: {} },
  'outbox failover': { files: ['test/crash/outbox/outbox-failover.test.ts'], defaults: { rounds: '20' } },
  'outbox matrix': { files: ['test/crash/outbox/outbox-matrix.test.ts'], defaults: { rounds: '20' } },
  'outbox model': { files: ['test/crash/outbox/model'], defaults: { full: '1' } },
  'outbox snapshot': { files: ['test/crash/outbox/old-snapshot.test.ts'], defaults: { minutes: '20' } },
  'outbox drain': { files: ['test/crash/outbox-drain.test.ts'], defaults: { rows: '1000000' } },
  chaos: {
    files: ['test/crash/chaos.test.ts'],
    mutants: ['test/crash/chaos-mutants.test.ts'],
    defaults: { minutes: '10' },
  },
  powercut: { files: ['test/crash/power-cut.test.ts'], defaults: { cycles: '500', strict: '1' } },
}
const FOUND_CHARS = 130
const root = fileURLToPath(new URL('../../', import.meta.url))
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kills: { type: 'string' },
    rounds: { type: 'string' },
    cycles: { type: 'string' },
    minutes: { type: 'string' },
    flips: { type: 'string' },
    rows: { type: 'string' },
    seed: { type: 'string' },
    nameserver: { type: 'string' },
    mutants: { type: 'boolean' },
    traces: { type: 'boolean' },
  },
})
const chosen = tests[positionals.join(' ')]
if (chosen === undefined) {
  console.error(
    `usage: node test/crash/run.mjs ${Object.keys(tests).join('|')} [--kills N] [--rounds N] [--cycles N] [--minutes N] [--flips N] [--rows N] [--seed N] [--nameserver HOST:PORT] [--mutants] [--traces]`,
  )
  process.exit(2)
}
const env = { ...process.env }
const { mutants, traces, nameserver, ...numbers } = values
const given = { seed: String(Date.now() % 1_000_000), ...chosen.defaults, ...numbers }
for (const [name, value] of Object.entries(given)) {
  if (!(Number(value) > 0)) {
    console.error(`--${name} takes a number above 0, not "${value}"`)
    process.exit(2)
  }
  env[`CRASH_${name.toUpperCase()}`] = value
}
if (nameserver !== undefined) {
  if (positionals.join(' ') !== 'outbox chaos') {
    console.error('--nameserver is of `outbox chaos` only')
    process.exit(2)
  }
  env.CRASH_NAMESERVER = nameserver
}
const figures = `${root}node_modules/.cache/tandemmq/crash`
rmSync(figures, { recursive: true, force: true })
if (chosen.figures) env.CRASH_FIGURES = figures
const startedAt = Date.now()
if (mutants && chosen.mutants === undefined) {
  console.error(`${positionals[0]} has no mutants of its own`)
  process.exit(2)
}
if (mutants) env.CRASH_MUTANTS = '1'
if (traces) env.CRASH_TRACES = '1'
const runs = [mutants ? chosen.mutants : chosen.files, ...(chosen.beside === undefined ? [] : [chosen.beside])]
const statuses = await Promise.all(runs.map(vitest))
if (chosen.figures) printFigures()
process.exit(statuses.find((status) => status !== 0) ?? 0)

function vitest(files) {
  const arguments_ = ['run', ...files, '--disableConsoleIntercept=true', ...(runs.length > 1 ? ['--maxWorkers=1'] : [])]
  const child = spawn(process.execPath, [`${root}node_modules/vitest/vitest.mjs`, ...arguments_], {
    cwd: root,
    env,
    stdio: 'inherit',
  })
  return new Promise((resolve) => child.on('close', (status) => resolve(status ?? 1)))
}

function printFigures() {
  if (!existsSync(figures)) return
  const lines = readdirSync(figures)
    .sort()
    .flatMap((name) => JSON.parse(readFileSync(`${figures}/${name}`, 'utf8')))
  const width = Math.max(...lines.map(({ what }) => what.length))
  console.log(`\n${'what'.padEnd(width)}   tried  found`)
  for (const { what, tried, found } of lines)
    console.log(`${what.padEnd(width)}  ${String(tried).padStart(6)}  ${found.slice(0, FOUND_CHARS)}`)
  console.log(`seed ${given.seed}, ${((Date.now() - startedAt) / 1000).toFixed(0)} s`)
}
