import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { declaredTests, isNamed, namedTests } from './fault-rows.ts'
import { repositoryRoot } from './source-files.ts'

/** What users expect of a messaging integration for Nest; each has a test. */
const features = [
  'ack only after success of an event handler',
  'retry with delay',
  'bounded retries, dead letter',
  'reject without retry',
  'delayed or scheduled send',
  'ordered per key',
  'several groups in one app',
  'several connections',
  'broadcast',
  'request/reply',
  'half messages with check-back',
  "transactional outbox in the caller's transaction",
  'inbox, duplicate suppression',
  'drain: stop, wait for handlers, deadline',
  'pause, resume, start later',
  'options from the container',
  'handlers on providers',
  'pipes, guards, interceptors',
  'Standard Schema on payload (Nest 12)',
  'request scope',
  'batch listeners',
  'concurrency per listener',
  'health of the real consumer',
  'trace propagation',
  'test without broker',
]

const page = readFileSync(join(repositoryRoot, 'docs/nestjs-features.md'), 'utf8')
const [, featurePart = '', wishPart = ''] = page.split(/^## .*$/m)
const rowsOf = (part: string): string[] =>
  part
    .split('\n')
    .filter((line) => /^\| (?!---)/.test(line))
    .slice(1)

const declared = new Map<string, ReturnType<typeof declaredTests>>()

function testsOf(file: string): ReturnType<typeof declaredTests> {
  const path = join(repositoryRoot, file)
  const tests = declared.get(file) ?? (existsSync(path) ? declaredTests(file, readFileSync(path, 'utf8')) : [])
  declared.set(file, tests)
  return tests
}

/** Tests that `line` names and that are not there. */
function missing(line: string): string[] {
  return namedTests(line)
    .filter(({ file, name }) => !testsOf(file).some((one) => isNamed(one, name)))
    .map(({ file, name }) => `${file}: ${name}`)
}

test('docs/nestjs-features.md has a line for each feature', () => {
  expect(rowsOf(featurePart).map((line) => line.split(' | ')[0]?.slice(2))).toEqual(features)
})

test('every line of docs/nestjs-features.md names tests, and each of them exists', () => {
  const lines = [...rowsOf(featurePart), ...rowsOf(wishPart)]
  expect(lines.length).toBeGreaterThan(features.length + 20)
  expect(lines.filter((line) => namedTests(line).length === 0)).toEqual([])
  expect(lines.flatMap(missing)).toEqual([])
})

test('a test that is not there, and a file that is not there, are found', () => {
  const [line = ''] = rowsOf(featurePart)
  const [named] = namedTests(line)
  expect(missing(line.replace(named?.name ?? '', 'no such test'))).toEqual([`${named?.file}: no such test`])
  expect(missing(line.replaceAll(named?.file ?? '', 'a/no-such.test.ts'))).toHaveLength(1)
})
