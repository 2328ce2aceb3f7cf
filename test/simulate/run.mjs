// The simulator at length: `npm run simulate -- --seeds 2000`, `--seed 7 --hours 3` (one seed, all its rounds), `--from 500`,
// `--minutes 10`, `--mutant NAME` (or `all`), `--trace FILE` (what broker and clients logged), `--history FILE`
// (all events). Everything follows from the seed.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = fileURLToPath(new URL('../../', import.meta.url))
const text = { type: 'string' }
const { values } = parseArgs({
  options: {
    seed: text,
    seeds: text,
    from: text,
    hours: text,
    minutes: text,
    mutant: text,
    trace: text,
    history: text,
  },
})
const { seed, seeds, from, hours, minutes, mutant, trace, history } = values
const env = {
  ...process.env,
  SIMULATE_LONG: '1',
  SIMULATE_FROM: number('from', seed ?? from ?? '1'),
  SIMULATE_SEEDS: number('seeds', seed === undefined ? (seeds ?? '20') : '1'),
  SIMULATE_MINUTES:
    hours === undefined ? number('minutes', minutes ?? '1') : String(Number(number('hours', hours)) * 60),
  ...(mutant !== undefined && { SIMULATE_MUTANT: mutant }),
  ...(trace !== undefined && { SIMULATE_TRACE: trace }),
  ...(history !== undefined && { SIMULATE_HISTORY: history }),
}
const file = mutant === undefined ? 'test/simulate/simulate.test.ts' : 'test/simulate/mutants.test.ts'
const child = spawn(
  process.execPath,
  [`${root}node_modules/vitest/vitest.mjs`, 'run', file, '--disableConsoleIntercept=true'],
  { cwd: root, env, stdio: 'inherit' },
)
child.on('close', (status) => process.exit(status ?? 1))

function number(name, value) {
  if (Number(value) > 0) return value
  console.error(`--${name} takes a number above 0, not "${value}"`)
  process.exit(2)
}
