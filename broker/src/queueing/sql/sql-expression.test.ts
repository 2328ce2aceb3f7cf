import { encodeProperties } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { condition, randomProperties, Unreadable } from '../../../../test/kit/random-sql.ts'
import { SeededRandom } from '../../../../test/kit/seeded-random.ts'
import { SQL_COST_MAX, SQL_DEPTH_MAX, SQL_LENGTH_MAX } from './limits.ts'
import { parse } from './parser.ts'
import { PropertySlots } from './property-slots.ts'
import { SqlExpression } from './sql-expression.ts'
import { SqlExpressions } from './sql-expressions.ts'
import { Truth } from './truth.ts'

const names = ['FALSE', 'TRUE', 'UNKNOWN', 'ERROR'] as const

function verdict(text: string, properties: Record<string, string> = {}): string {
  const bytes = encodeProperties(properties)
  return names[new SqlExpression(text).truth(bytes, 0, bytes.length)]!
}

const problemOf = (text: string): string => {
  try {
    parse(text)
  } catch (error) {
    return (error as Error).message.replace('[SUBSCRIPTION_INVALID] SQL92 expression, ', '')
  }
  return 'none'
}

test('random expressions say what a naive evaluation of the same tree says', () => {
  const random = new SeededRandom(20_261_121)
  const seen = { TRUE: 0, FALSE: 0, UNKNOWN: 0, ERROR: 0 }
  for (let n = 0; n < 4_000; n++) {
    const { text, kind, value } = condition(random, 3)
    const compiled = new SqlExpression(text)
    for (let sample = 0; sample < 4; sample++) {
      const properties = randomProperties(random)
      const bytes = encodeProperties(properties)
      const found = names[compiled.truth(bytes, 0, bytes.length)]!
      seen[found]++
      expect(found, `${text} on ${JSON.stringify(properties)}`).toBe(naively(() => value(properties), kind))
    }
  }
  expect(Math.min(...Object.values(seen))).toBeGreaterThan(1_000)
})

function naively(evaluate: () => unknown, kind: string): string {
  try {
    const value = evaluate()
    if (value === null) return 'UNKNOWN'
    return value === true && kind === 'condition' ? 'TRUE' : 'FALSE'
  } catch (error) {
    if (error instanceof Unreadable) return 'ERROR'
    throw error
  }
}

test.each([
  ['', 'character 1: expected a property, a text, a number or "(", found the end'],
  ['a = 1 OR', 'character 9: expected a property, a text, a number or "(", found the end'],
  ["a = 'x", 'character 5: the text that begins here has no closing quote'],
  ['a = "x"', 'character 5: texts stand in single quotes'],
  ['a != 1', 'character 3: write <> for "not equal"'],
  ['a /* c = 1', 'character 3: the comment that begins here does not end'],
  ['order.id = 1', 'character 6: "." has no meaning here; names are letters, digits, _ and $'],
  ['😀 = 1', 'character 1: "😀" has no meaning here; names are letters, digits, _ and $'],
  ["region LIKE 'e%'", 'character 8: expected AND, OR or the end, found LIKE'],
  ['a + 1 = 2', 'character 3: expected AND, OR or the end, found +'],
  ['a = 1)', 'character 6: expected AND, OR or the end, found )'],
  ['a = NULL', 'character 5: NULL equals nothing; write IS NULL or IS NOT NULL'],
  ["a > 'b'", 'character 5: only numbers and properties have an order'],
  ['a IN (1)', 'character 7: expected a text in single quotes, found 1'],
  ["1 IN ('1')", 'character 1: IN needs a property on its left'],
  ['a BETWEEN 2 AND 1', 'character 11: the lower end of BETWEEN is above the upper one'],
  ['a NOT LIKE 1', 'character 7: expected BETWEEN, IN, CONTAINS, STARTSWITH or ENDSWITH, found LIKE'],
  ['1', 'character 1: a condition is needed here, not a mere value'],
  ['a = 9223372036854775808', 'character 5: 9223372036854775808 does not fit 64 bits'],
  ['a = 1e400', 'character 5: 1e400 is too large for a double'],
  ['a = 0.0', 'character 5: 0.0 is refused by RocketMQ as too small; write 0'],
  ["TRUE = 'true'", 'character 8: TRUE and FALSE cannot be compared with a text or a number'],
  [`a = '${'x'.repeat(50)}' b`, 'character 58: expected AND, OR or the end, found b'],
  [`a IN (${'x'.repeat(50)})`, `character 7: expected a text in single quotes, found ${'x'.repeat(40)}…`],
])('%s is refused: %s', (text, problem) => {
  expect(problemOf(text)).toBe(problem)
})

test('length, depth and cost are limited at the limit itself', () => {
  const long = (length: number): string => `a = '${'x'.repeat(length - 6)}'`
  expect([SQL_LENGTH_MAX - 1, SQL_LENGTH_MAX].map((length) => problemOf(long(length)))).toEqual(['none', 'none'])
  expect(problemOf(long(SQL_LENGTH_MAX + 1))).toContain(
    `at most ${SQL_LENGTH_MAX} characters, this one ${SQL_LENGTH_MAX + 1}`,
  )

  const nested: ((depth: number) => string)[] = [
    (depth) => `${'('.repeat(depth)}a = 1${')'.repeat(depth)}`,
    (depth) => `a = ${'-'.repeat(depth)}1`.replaceAll('--', '- -'),
    (depth) => `a${' = 1'.repeat(depth)}`,
    (depth) => `s${" CONTAINS 'x'".repeat(depth)}`,
  ]
  for (const text of nested) {
    expect([SQL_DEPTH_MAX - 1, SQL_DEPTH_MAX].map((depth) => problemOf(text(depth)))).toEqual(['none', 'none'])
    expect(problemOf(text(SQL_DEPTH_MAX + 1))).toContain(`nested more than ${SQL_DEPTH_MAX} deep`)
  }
  expect(problemOf(`${'NOT '.repeat(SQL_DEPTH_MAX)}a`)).toContain(`nested more than ${SQL_DEPTH_MAX} deep`)

  // One for each comparison and one for the OR.
  const wide = (cost: number): string => Array.from({ length: cost - 1 }, () => 'a=1').join(' OR ')
  expect([SQL_COST_MAX - 1, SQL_COST_MAX].map((cost) => problemOf(wide(cost)))).toEqual(['none', 'none'])
  expect(problemOf(wide(SQL_COST_MAX + 1))).toContain(`costs more than ${SQL_COST_MAX} comparisons`)
})

test('an expression that BETWEEN would double at every level is refused by its cost, not evaluated', () => {
  let text = 'a = 1'
  for (let level = 0; level < 60; level++) text = `- (${text}) BETWEEN 1 AND 2`
  expect(problemOf(text)).toContain('costs more than')
})

test('ten thousand nested parentheses and a comment without end are refused without a stack overflow', () => {
  for (const text of ['('.repeat(16_000), 'NOT '.repeat(4_000), `/*${'*'.repeat(16_000)}`, `'${"''".repeat(8_000)}`]) {
    expect(problemOf(text)).toMatch(/^character \d+: /)
  }
})

test('a dash-dash comment may end with the line or with the text', () => {
  expect(verdict('a = 1 -- which one?', { a: '1' })).toBe('TRUE')
  expect(verdict('-- first\na = 1', { a: '1' })).toBe('TRUE')
  expect(verdict('a = --1', { a: '1' })).toBe('TRUE')
})

test('the last of a repeated property counts, an empty one is absent, a cut one does not reach beyond', () => {
  const read = (text: string, properties: string): string => {
    const bytes = Buffer.from(properties)
    return names[new SqlExpression(text).truth(bytes, 0, bytes.length)]!
  }
  expect(read("a = 'y'", 'a\x01x\x02a\x01y\x02')).toBe('TRUE')
  expect(read('a IS NULL', 'a\x01\x02')).toBe('TRUE')
  expect(read("a = 'x'", 'a\x01x')).toBe('TRUE')
  expect(read('a IS NULL', 'b\x01x\x02a')).toBe('TRUE')
  expect(read("b = 'x'", '\x02a\x02b\x01x\x02')).toBe('TRUE')
  expect(read("a = 'x'", '\x01x\x02a\x01x\x02')).toBe('TRUE')
})

test('properties outside the given range are not seen', () => {
  const bytes = encodeProperties({ before: '1', a: '1', after: '1' })
  const slots = new PropertySlots(['before', 'a', 'after'])
  const start = bytes.indexOf('a\x01')
  slots.read(bytes, start, start + 4)
  expect([slots.has(0), slots.has(1), slots.has(2)]).toEqual([false, true, false])
})

test('names of 31 bytes and more are told apart', () => {
  const name = 'n'.repeat(31)
  expect(verdict(`${name} = '1'`, { [name]: '1' })).toBe('TRUE')
  expect(verdict(`${name} = '1'`, { [`${name}n`]: '1' })).toBe('UNKNOWN')
  expect(verdict(`${name}n = '1'`, { [name]: '1', [`${name}n`]: '2' })).toBe('FALSE')
})

test('a search made of repeated parts finds its text at once and is never confused by it', () => {
  expect(verdict("a CONTAINS 'aab'", { a: `${'a'.repeat(1000)}b` })).toBe('TRUE')
  expect(verdict("a CONTAINS 'abcabd'", { a: 'abcabcabd' })).toBe('TRUE')
  expect(verdict("a CONTAINS 'aab'", { a: 'ab'.repeat(1000) })).toBe('FALSE')
  const started = performance.now()
  expect(verdict(`a CONTAINS 'b${'a'.repeat(8_000)}'`, { a: 'a'.repeat(30_000) })).toBe('FALSE')
  expect(performance.now() - started).toBeLessThan(500)
})

test('a search does not look beyond the value', () => {
  const properties = { r: 'x', s: 'eu', t: 'y' }
  expect(verdict("s STARTSWITH 'eu\x02t'", properties)).toBe('FALSE')
  expect(verdict("s CONTAINS 'u\x02t'", properties)).toBe('FALSE')
  expect(verdict("s ENDSWITH 's\x01eu'", properties)).toBe('FALSE')
})

test('parentheses beside one another are not nested', () => {
  expect(problemOf(Array.from({ length: 500 }, () => '(- a = 1)').join(' OR '))).toBe('none')
})

test('numbers are read as Java reads them', () => {
  const equals = (number: string, text: string): string => verdict(`a = ${number}`, { a: text })
  expect(equals('7', '007')).toBe('TRUE')
  expect(equals('7', '0000000000000000000000000000007')).toBe('TRUE')
  expect(equals('0', '-0')).toBe('TRUE')
  for (const text of ['', '+', '-', ' 7', '7 ', '7.0', '7L', '0x7', '2147483648', '-2147483649', '1'.repeat(30)]) {
    if (text !== '') expect(equals('7', text), text).toBe('ERROR')
  }
  expect(equals('- 2147483647', '-2147483647')).toBe('TRUE')
  expect(verdict('a < 0', { a: '-2147483648' })).toBe('TRUE')
  expect(equals('9223372036854775807', '9223372036854775807')).toBe('TRUE')
  expect(equals('9223372036854775807', '9223372036854775806')).toBe('FALSE')
  expect(verdict('a < 2147483648', { a: '-9223372036854775808' })).toBe('TRUE')
  expect(equals('9007199254740993', '9007199254740992')).toBe('FALSE')
  expect(equals('2147483648', '9223372036854775808')).toBe('ERROR')
  for (const text of ['1.5', ' 1.5 ', '+1.5', '1.50', '15e-1', '1.5f', '1.5D', '0001.5']) {
    expect(equals('1.5', text), text).toBe('TRUE')
  }
  for (const text of ['.', '+.', '-', '1,5', '1.5.0', 'e5', '1e', 'nan', '1.5ff']) {
    expect(equals('1.5', text), text).toBe('ERROR')
  }
  expect(verdict('a > 1.5', { a: 'NaN' })).toBe('TRUE')
  expect(verdict('a > b', { a: '0.0', b: '-0.0' })).toBe('TRUE')
  expect(equals('0.1', '0.1')).toBe('TRUE')
  expect(equals('123456789012345678.25', '123456789012345678.25')).toBe('TRUE')
})

test('equal texts share one compiled expression, and the memory for them is bounded', () => {
  const sql = new SqlExpressions({ charactersMax: 20 })
  const first = sql.of('a = 1')
  expect(sql.of('a = 1')).toBe(first)
  expect([sql.of('b = 1'), sql.of('c = 1'), sql.of('d = 1')].length).toBe(3)
  expect(sql.size).toBe(4)
  sql.of('e = 1')
  expect([sql.size, sql.of('a = 1') === first]).toEqual([1, false])
  expect(() => sql.of('a =')).toThrow('SUBSCRIPTION_INVALID')
})

test('a message is delivered on TRUE alone', () => {
  const matches = (text: string): boolean => {
    const bytes = encodeProperties({ a: 'x' })
    return new SqlExpression(text).matches(bytes, 0, bytes.length)
  }
  expect(['a = 1', 'b = 1', "a <> 'x'", "a = 'x'"].map(matches)).toEqual([false, false, false, true])
  expect(Truth.TRUE).toBe(1)
})
