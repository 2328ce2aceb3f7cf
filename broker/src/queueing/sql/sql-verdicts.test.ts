import { encodeProperties } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { goldenHashes, goldenSqlVerdicts } from '../../../../test/wire/golden.ts'
import { parse } from './parser.ts'
import { PropertySlots } from './property-slots.ts'
import { SqlExpression } from './sql-expression.ts'
import { Truth } from './truth.ts'

// What the Java classes of 5.3.3 said about each expression and each of four property sets.

interface Verdict {
  expression: string
  values: (boolean | null | { error: string })[]
  delivered: boolean[]
}

const samples = goldenHashes<{ properties: Record<string, string> }>('sqlSample').map(({ properties }) => properties)
const recorded = goldenHashes<Verdict>('sql')
const rejections = goldenHashes<{ expression: string }>('sqlRejected').map(({ expression }) => expression)

/** Stock brokers take the beginning and ignore the rest; here the rest is refused (remoting.md 11.16). */
const withTrailingText = [
  ...['a + 1 = 2', 'a = 01', "a LIKE '1%'", 'a + b > 2', 'a - 1 > 0', 'a = 1)', 'a-b = 1', 'a XOR b', 'a = 1f'],
  'NOW() > 1',
]

function compiles(text: string): boolean {
  try {
    parse(text)
    return true
  } catch {
    return false
  }
}

test('every recorded rejection is a rejection', () => {
  expect(rejections.length).toBeGreaterThan(50)
  expect(rejections.filter(compiles)).toEqual([])
})

test('of the recorded expressions exactly those with trailing text are refused', () => {
  const refused = recorded.map(({ expression }) => expression).filter((expression) => !compiles(expression))
  expect(refused.toSorted()).toEqual(withTrailingText.toSorted())
})

/** The recorder's property sets hold empty values, which no stored message can have: they are put in place by hand. */
function slotsOf(names: readonly string[], properties: Record<string, string>): PropertySlots {
  const slots = new PropertySlots(names)
  const bytes = Buffer.from(Object.values(properties).join(''))
  slots.read(bytes, 0, 0)
  slots.bytes = bytes
  let at = 0
  for (const [name, value] of Object.entries(properties)) {
    const slot = names.indexOf(name)
    const end = at + Buffer.byteLength(value)
    if (slot >= 0) {
      slots.starts[slot] = at
      slots.ends[slot] = end
    }
    at = end
  }
  return slots
}

const truthOf = (value: Verdict['values'][number]): Truth => {
  if (value === null) return Truth.UNKNOWN
  if (typeof value === 'object') return Truth.ERROR
  return value ? Truth.TRUE : Truth.FALSE
}

test.each(recorded.filter(({ expression }) => !withTrailingText.includes(expression)))(
  '$expression says what the Java classes say',
  ({ expression, values }) => {
    const { condition, names } = parse(expression)
    const found = samples.map((properties) => condition.test(slotsOf(names, properties)))
    expect(found).toEqual(values.map(truthOf))
  },
)

test('stored messages are delivered as the Java classes say, an empty property being absent', () => {
  const differing: string[] = []
  for (const { expression, delivered } of recorded) {
    if (withTrailingText.includes(expression)) continue
    const compiled = new SqlExpression(expression)
    const found = samples.map((properties) => {
      const bytes = encodeProperties(properties)
      return compiled.matches(bytes, 0, bytes.length)
    })
    if (found.join() !== delivered.join()) differing.push(expression)
  }
  expect(differing).toEqual(['empty IS NULL', "empty = ''", "empty IN ('')"])
})

const many = goldenSqlVerdicts()

test('several hundred more expressions say what the Java classes say, in each of twenty property sets', () => {
  const records = many.samples.map((properties) => encodeProperties(properties))
  const differing: unknown[] = []
  let compared = 0
  for (const { expression, verdicts } of many.verdicts) {
    if (verdicts === undefined || !compiles(expression)) continue
    const compiled = new SqlExpression(expression)
    const found = records.map((bytes) => 'FTUE'[compiled.truth(bytes, 0, bytes.length)]).join('')
    if (found !== verdicts) differing.push({ expression, found, verdicts })
    compared++
  }
  expect(differing).toEqual([])
  expect(compared).toBeGreaterThan(300)
})

test('what the Java classes reject is rejected, and beyond that only trailing text', () => {
  const accepted = many.verdicts.filter(({ expression, rejected }) => rejected === true && compiles(expression))
  expect(accepted).toEqual([])
  const problems = many.verdicts
    .filter(({ expression, rejected }) => rejected === undefined && !compiles(expression))
    .map(({ expression }) => {
      expect(() => parse(expression)).toThrow(/expected AND, OR or the end, found ./)
      return expression
    })
  expect(problems.length).toBeLessThan(40)
})
