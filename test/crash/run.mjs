// The crash tests at length: `npm run crash:broker -- --kills 50 --seed 7`, `npm run crash:outbox -- --rounds 10`,
// `npm run powercut -- --cycles 500`. A run with
// the same seed chooses the same moments; what the machine does in between is its own.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const tests = {
  broker: { file: 'test/crash/broker-kill.test.ts', defaults: { kills: '50' } },
  outbox: { file: 'test/crash/outbox-kill.test.ts', defaults: { rounds: '10' } },
  powercut: { file: 'test/crash/power-cut.test.ts', defaults: { cycles: '500', strict: '1' } },
}
const root = fileURLToPath(new URL('../../', import.meta.url))
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kills: { type: 'string' },
    rounds: { type: 'string' },
    cycles: { type: 'string' },
    seed: { type: 'string' },
  },
})
const chosen = tests[positionals[0]]
if (chosen === undefined) {
  console.error(
    `usage: node test/crash/run.mjs ${Object.keys(tests).join('|')} [--kills N] [--rounds N] [--cycles N] [--seed N]`,
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
const vitest = [`${root}node_modules/vitest/vitest.mjs`, 'run', chosen.file, '--disableConsoleIntercept=true']
const { status } = spawnSync(process.execPath, vitest, { cwd: root, env, stdio: 'inherit' })
process.exit(status ?? 1)
