import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { faultTests, faultTestsOf, isNamed, namedTests } from './fault-rows.ts'
import { repositoryRoot } from './source-files.ts'

/** Faults that one broker and its clients have to answer; each has a test that makes it happen. */
const rows = [
  ...['F01', 'F02', 'F04', 'F05', 'F06', 'F07', 'F08', 'F09', 'F11', 'F12', 'F13', 'F14', 'F15', 'F16', 'F17'],
  ...['F18', 'F19', 'F20', 'F21', 'F22', 'F24', 'F25', 'F26', 'F27', 'F28', 'F29', 'F30', 'F31', 'F33', 'F34', 'F35'],
  ...['F37', 'F38', 'F41', 'F42', 'F56', 'F57', 'F58', 'F59', 'F60', 'F61', 'F62', 'F63', 'F65'],
]

const tests = faultTests()

test('names of tests are read from the source, with one row or several, quoted or computed', () => {
  const source = [
    'test("F01: a", () => {})',
    'possible(`F02 F03: ${b} of it`, { timeout: 1 }, async () => {})',
    'test("about F04: a", () => {})',
    'console.log("F05: a")',
    '// test("F06: a", () => {})',
  ]
  const found = faultTestsOf('a.test.ts', source.join('\n'))
  expect(found.map(({ rows: named }) => named)).toEqual([['F01'], ['F02', 'F03']])
  const [first, second] = found as [(typeof found)[0], (typeof found)[0]]
  expect([isNamed(first, 'F01: a'), isNamed(first, 'F01: ab'), isNamed(first, 'F01:')]).toEqual([true, false, false])
  expect([isNamed(second, 'F02 F03: (x) of it'), isNamed(second, 'F02 F03: of')]).toEqual([true, false])
})

test('each row of the fault matrix has a test that is named after it', () => {
  const tested = new Set(tests.flatMap(({ rows: named }) => named))
  expect(rows.filter((row) => !tested.has(row))).toEqual([])
})

test('docs/reliability.md has a line for each row, and every test it names exists and is one of that row', () => {
  const text = readFileSync(join(repositoryRoot, 'docs/reliability.md'), 'utf8')
  const lines = text.split('\n').filter((line) => /^\| F\d\d \|/.test(line))
  expect(lines.map((line) => line.slice(2, 5))).toEqual(rows)
  for (const line of lines) {
    const row = line.slice(2, 5)
    const named = namedTests(line)
    expect(named, row).not.toEqual([])
    const unknown = named.filter(
      ({ file, name }) => !tests.some((one) => one.file === file && one.rows.includes(row) && isNamed(one, name)),
    )
    expect(unknown, row).toEqual([])
  }
})
