// The simulator at length: `npm run simulate -- --seeds 2000 --jobs 2`, `--seed 7 --hours 3` (one seed, all its rounds), `--from 500`,
// `--minutes 10`, `--mutant NAME` (or `all`), `--trace FILE` (what broker and clients logged), `--history FILE`
// (all events). Everything follows from the seed.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = fileURLToPath(new URL('../../', import.meta.url))
const text = { type: 'string' }
const names = ['seed', 'seeds', 'from', 'jobs', 'hours', 'minutes', 'mutant', 'trace', 'history']
const { values } = parseArgs({ options: Object.fromEntries(names.map((name) => [name, text])) })
const { seed, seeds, from, hours, minutes, mutant, trace, history } = values
const first = Number(number('from', seed ?? from ?? '1'))
const count = Number(number('seeds', seed === undefined ? (seeds ?? '20') : '1'))
const jobs = Math.min(count, Number(number('jobs', values.jobs ?? '1')))
const env = {
  ...process.env,
  SIMULATE_LONG: '1',
  SIMULATE_STEP: String(jobs),
  SIMULATE_MINUTES:
    hours === undefined ? number('minutes', minutes ?? '1') : String(Number(number('hours', hours)) * 60),
  ...(mutant !== undefined && { SIMULATE_MUTANT: mutant }),
  ...(trace !== undefined && { SIMULATE_TRACE: trace }),
  ...(history !== undefined && { SIMULATE_HISTORY: history }),
}
const file = mutant === undefined ? 'test/simulate/simulate.test.ts' : 'test/simulate/mutants.test.ts'
const startedAt = Date.now()
const failed = []
const virtualHours = []
const statuses = await Promise.all(Array.from({ length: jobs }, (_, job) => work(job)))
if (mutant === undefined) summarize()
process.exit(statuses.every((status) => status === 0) ? 0 : 1)

/** Every `jobs`-th seed, in a process of its own. */
function work(job) {
  const share = Math.ceil((count - job) / jobs)
  const child = spawn(
    process.execPath,
    [`${root}node_modules/vitest/vitest.mjs`, 'run', file, '--disableConsoleIntercept=true'],
    {
      cwd: root,
      env: { ...env, SIMULATE_FROM: String(first + job), SIMULATE_SEEDS: String(share) },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  let rest = ''
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) take(line)
  })
  // What vitest says of a failure was said before, and more shortly.
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (chunk) => void (errors = (errors + chunk).slice(-20_000)))
  return new Promise((resolve) => {
    child.on('close', (status) => {
      if (status !== 0 && failed.length === 0) process.stderr.write(errors)
      resolve(status ?? 1)
    })
  })
}

function take(line) {
  const [, wrong] = /^seed (\d+), \d+ wrong/.exec(line) ?? []
  if (wrong !== undefined) failed.push(Number(wrong))
  const [, virtual] = /: ([\d.]+) virtual hours \(/.exec(line) ?? []
  if (virtual !== undefined) virtualHours.push(Number(virtual))
  console.log(line)
}

function summarize() {
  const minutesTaken = (Date.now() - startedAt) / 60_000
  const sum = virtualHours.reduce((all, one) => all + one, 0)
  const rates = `${(count / minutesTaken).toFixed(1)} seeds per minute, ${(sum / (minutesTaken / 60)).toFixed(0)} virtual hours per hour`
  console.log(`${count} seeds from ${first} in ${jobs} processes: ${minutesTaken.toFixed(1)} minutes, ${rates}`)
  const list = failed.toSorted((a, b) => a - b).join(' ')
  console.log(failed.length === 0 ? 'no seed failed' : `${failed.length} failed: ${list}`)
}

function number(name, value) {
  if (Number(value) > 0) return value
  console.error(`--${name} takes a number above 0, not "${value}"`)
  process.exit(2)
}
