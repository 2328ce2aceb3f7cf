// The crash tests at length: `npm run crash` (the laboratory of test/crash/lab), `npm run crash:broker -- --kills 50 --seed 7`, `npm run crash:outbox -- --rounds 10`,
// `npm run powercut -- --cycles 500`. A run with
// the same seed chooses the same moments; what the machine does in between is its own.
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const tests = {
  lab: {
    files: ['crash-lab', 'mutants', 'bit-flips'].map((name) => `test/crash/${name}.test.ts`),
    defaults: { full: '1', seed: '1', flips: '1000' },
    figures: true,
  },
  broker: { files: ['test/crash/broker-kill.test.ts'], defaults: { kills: '50' } },
  outbox: { files: ['test/crash/outbox-kill.test.ts'], defaults: { rounds: '10' } },
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
    flips: { type: 'string' },
    seed: { type: 'string' },
  },
})
const chosen = tests[positionals[0]]
if (chosen === undefined) {
  console.error(
    `usage: node test/crash/run.mjs ${Object.keys(tests).join('|')} [--kills N] [--rounds N] [--cycles N] [--flips N] [--seed N]`,
  )
  process.exit(2)
}
const env = { ...process.env }
const given = { seed: String(Date.now() % 1_000_000), ...chosen.defaults, ...values }
for (const [name, value] of Object.entries(given)) {
  if (!(Number(value) > 0)) {
    console.error(`--${name} takes a number above 0, not "${value}"`)
    process.exit(2)
  }
  env[`CRASH_${name.toUpperCase()}`] = value
}
const figures = `${root}node_modules/.cache/tandemmq/crash`
rmSync(figures, { recursive: true, force: true })
if (chosen.figures) env.CRASH_FIGURES = figures
const vitest = [`${root}node_modules/vitest/vitest.mjs`, 'run', ...chosen.files, '--disableConsoleIntercept=true']
const startedAt = Date.now()
const { status } = spawnSync(process.execPath, vitest, { cwd: root, env, stdio: 'inherit' })
if (chosen.figures) printFigures()
process.exit(status ?? 1)

function printFigures() {
  const lines = readdirSync(figures)
    .sort()
    .flatMap((name) => JSON.parse(readFileSync(`${figures}/${name}`, 'utf8')))
  const width = Math.max(...lines.map(({ what }) => what.length))
  console.log(`\n${'what'.padEnd(width)}   tried  found`)
  for (const { what, tried, found } of lines)
    console.log(`${what.padEnd(width)}  ${String(tried).padStart(6)}  ${found}`)
  console.log(`seed ${given.seed}, ${((Date.now() - startedAt) / 1000).toFixed(0)} s`)
}
