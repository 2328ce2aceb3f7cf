// The whole check, one step after the other; `--without-tests` when `npm test` ran just before. The last line counts.
import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const report = `${root}node_modules/.cache/tandemmq/tests.json`
const bin = (name) => `${root}node_modules/.bin/${name}`
const withoutTests = process.argv.includes('--without-tests')

const steps = [
  ['format', bin('biome'), ['format', '.']],
  ['lint', bin('oxlint'), ['--deny-warnings']],
  ['types', bin('tsc'), ['-p', 'tsconfig.tests.json']],
  ...(withoutTests ? [] : [['tests', bin('vitest'), ['run']]]),
  ['examples', process.execPath, ['examples/order-flow/dist/demo.js', '--plain']],
  ['benchmark smoke', process.execPath, ['test/bench/run.mjs', '--smoke']],
]

if (!withoutTests) rmSync(report, { force: true })
const failedSteps = []
for (const [name, command, args] of steps) {
  const started = Date.now()
  console.log(`\n== ${name}`)
  const { status } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
  const seconds = ((Date.now() - started) / 1000).toFixed(1)
  console.log(`== ${name}: ${status === 0 ? 'ok' : `FAILED (exit ${status})`}, ${seconds} s`)
  if (status !== 0) failedSteps.push(name)
}

// What failed stands at the end: whoever reads only the last screen of a long run must find it there.
let tests = { numPassedTests: 0, numFailedTests: 1, testResults: [] }
try {
  tests = JSON.parse(readFileSync(report, 'utf8'))
} catch {
  console.log('no test report was written')
}
let failedFiles = 0
for (const file of tests.testResults) {
  const failures = file.assertionResults.filter(({ status }) => status === 'failed')
  for (const { fullName, failureMessages } of failures) {
    console.log(`\nFAILED ${file.name.replace(root, '')}: ${fullName}`)
    console.log(failureMessages.join('\n').split('\n').slice(0, 12).join('\n').slice(0, 2000))
  }
  if (file.status === 'failed' && failures.length === 0) {
    failedFiles++
    console.log(`\nFAILED ${file.name.replace(root, '')}\n${file.message.slice(0, 2000)}`)
  }
}
for (const name of failedSteps) console.log(`\nFAILED step: ${name}`)

const passed = tests.numPassedTests + steps.length - failedSteps.length
const failed = tests.numFailedTests + failedFiles + failedSteps.length
console.log(`\n${passed} passed, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)
