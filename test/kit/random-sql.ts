import type { SeededRandom } from './seeded-random.ts'

// Random SQL92 filters and what a stock broker says about them, computed slowly and on JavaScript values: the other opinion
// for the compiled evaluator, which works on bytes. It decides nothing about refused expressions; the sentences are all legal.

/** A number has the type that a stock parser gives it. */
interface NumberValue {
  type: 'int' | 'long' | 'double'
  value: number | bigint
}
type Value = null | boolean | string | NumberValue
type Properties = Readonly<Record<string, string>>

/** Thrown by {@link Sentence.value} where a stock broker's evaluation fails: the message is not delivered. */
export class Unreadable extends Error {}

export interface Sentence {
  text: string
  /** What it yields by itself: the grammar allows some things on conditions only. */
  kind: 'condition' | 'property' | 'text' | 'number'
  value(properties: Properties): Value
}

const names = ['a', 'b', 's', 't', 'u', '_x', '$y', 'TAGS', 'missing', 'Long_Name_1']
const texts = [
  'eu',
  'EU',
  '',
  '1',
  '10',
  'true',
  'TRUE',
  "it's",
  'ü漢',
  '9.5',
  'abcabd',
  '-0',
  ' 7 ',
  '1e3',
  'NaN',
  '+5',
  '5L',
]
const wholes = ['0', '1', '5', '10', '1L', '2147483647', '2147483648', '9007199254740993', '9223372036854775807']
const floats = ['1.5', '.5', '5.', '1e3', '9.5', '1.7e308', '123456789012345678.25']

/** Properties as a message may have them; none is empty, since an empty one does not survive the wire. */
export function randomProperties(random: SeededRandom): Record<string, string> {
  const properties: Record<string, string> = {}
  for (const name of names) {
    if (name === 'missing' || random.next() < 0.3) continue
    const value =
      random.next() < 0.3 ? random.pick([...wholes, ...floats, '-9223372036854775808', '1.50']) : random.pick(texts)
    if (value !== '') properties[name] = value
  }
  return properties
}

const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`

function property(random: SeededRandom): Sentence {
  const name = random.pick(names)
  return { text: name, kind: 'property', value: (properties) => properties[name] ?? null }
}

function literalText(random: SeededRandom): Sentence {
  const text = random.pick(texts)
  return { text: quoted(text), kind: 'text', value: () => text }
}

function number(random: SeededRandom): Sentence {
  const isFloat = random.next() < 0.3
  const digits = isFloat ? random.pick(floats) : random.pick(wholes)
  const exact = isFloat ? 0n : BigInt(digits.replace('L', ''))
  const isNegative = random.next() < 0.3
  const type = isFloat ? 'double' : exact <= 2147483647n ? 'int' : 'long'
  const value = isFloat ? Number(digits) : exact
  const signed = isNegative ? (typeof value === 'bigint' ? -value : -value) : value
  return { text: isNegative ? `- ${digits}` : digits, kind: 'number', value: () => ({ type, value: signed }) }
}

function literalTruth(random: SeededRandom): Sentence {
  const [text, value] = random.pick([
    ['TRUE', true],
    ['false', false],
    ['Null', null],
  ] as const)
  return { text, kind: 'condition', value: () => value }
}

/** A number as Java reads it out of a text. */
function read(text: string, type: NumberValue['type']): NumberValue {
  if (type === 'double') {
    const trimmed = text.trim()
    if (!/^[+-]?(NaN|Infinity|(\d+\.?\d*|\.\d+)(e[+-]?\d+)?[fd]?)$/i.test(trimmed)) throw new Unreadable(text)
    return { type, value: Number(trimmed.replace(/^\+/, '').replace(/[fdFD]$/, '')) }
  }
  if (!/^[+-]?\d+$/.test(text)) throw new Unreadable(text)
  const value = BigInt(text.replace('+', ''))
  const bits = type === 'int' ? 32 : 64
  if (BigInt.asIntN(bits, value) !== value) throw new Unreadable(text)
  return { type, value }
}

function order(left: NumberValue, right: NumberValue): number {
  if (typeof left.value === 'bigint' && typeof right.value === 'bigint') return Number(left.value - right.value)
  const [a, b] = [Number(left.value), Number(right.value)]
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b))
  if (a === 0 && b === 0) return Number(Object.is(b, -0)) - Number(Object.is(a, -0))
  return a - b
}

function sameValue(left: Value, right: Value): boolean | null {
  if (left === null) return right === null ? true : null
  if (right === null) return false
  if (typeof left === 'boolean') {
    if (typeof right === 'string') throw new Unreadable('a text against a condition')
    return left === right
  }
  if (typeof left === 'string') {
    if (typeof right === 'string') return left === right
    if (typeof right === 'boolean') return (left.toLowerCase() === 'true') === right
    return order(read(left, right.type), right) === 0
  }
  if (typeof right === 'boolean') return false
  return order(left, typeof right === 'string' ? read(right, left.type) : right) === 0
}

const operators = {
  '<': (n: number) => n < 0,
  '<=': (n: number) => n <= 0,
  '>': (n: number) => n > 0,
  '>=': (n: number) => n >= 0,
}

function inOrder(left: Value, operator: keyof typeof operators, right: Value): boolean | null {
  if (left === null || right === null) return null
  if (typeof left === 'boolean' || typeof right === 'boolean') throw new Error('the grammar does not allow it')
  if (typeof left === 'string' && typeof right === 'string') {
    return operators[operator](order(read(left, 'double'), read(right, 'double')))
  }
  const a = typeof left === 'string' ? read(left, (right as NumberValue).type) : left
  const b = typeof right === 'string' ? read(right, (left as NumberValue).type) : right
  return operators[operator](order(a, b))
}

const negate = (value: boolean | null): boolean | null => (value === null ? null : !value)
const asCondition = (value: Value): boolean | null => (value === null ? null : value === true)
const isConstant = (text: string): boolean => /^('|TRUE$|false$|[\d.])/.test(text)

function comparison(random: SeededRandom, depth: number): Sentence {
  const operand = (): Sentence =>
    random.pick([property, property, literalText, number, (r: SeededRandom) => condition(r, depth - 1)])(random)
  const shape = random.between(0, 6)
  if (shape <= 1) {
    let [left, right] = [operand(), operand()]
    // Refused: NULL as a literal, and TRUE or FALSE before another constant.
    while ([left.text, right.text].includes('Null') || (isConstant(left.text) && isConstant(right.text)))
      right = left = property(random)
    const isNegated = random.next() < 0.4
    const value = (p: Properties): boolean | null => sameValue(left.value(p), right.value(p))
    return {
      text: `${grouped(left)} ${isNegated ? '<>' : '='} ${grouped(right)}`,
      kind: 'condition',
      value: (p) => (isNegated ? negate(value(p)) : value(p)),
    }
  }
  const orderable = (): Sentence => random.pick([property, number])(random)
  const left = orderable()
  const isNegated = random.next() < 0.4
  const word = (text: string): string => (isNegated ? `NOT ${text}` : text)
  if (shape === 2) {
    const operator = random.pick(Object.keys(operators) as (keyof typeof operators)[])
    const right = orderable()
    return {
      text: `${left.text}${operator}${right.text}`,
      kind: 'condition',
      value: (p) => inOrder(left.value(p), operator, right.value(p)),
    }
  }
  if (shape === 3) {
    const [low, high] = [orderable(), property(random)]
    const value = (p: Properties): boolean | null =>
      isNegated
        ? either(
            () => inOrder(left.value(p), '<', low.value(p)),
            () => inOrder(left.value(p), '>', high.value(p)),
          )
        : negate(
            either(
              () => negate(inOrder(left.value(p), '>=', low.value(p))),
              () => negate(inOrder(left.value(p), '<=', high.value(p))),
            ),
          )
    return { text: `${left.text} ${word('BETWEEN')} ${low.text} and ${high.text}`, kind: 'condition', value }
  }
  if (shape === 4) {
    const [of, wanted] = [property(random), Array.from({ length: random.between(1, 4) }, () => random.pick(texts))]
    return {
      text: `${of.text} ${word('IN')} (${wanted.map(quoted).join(', ')})`,
      kind: 'condition',
      value: (p) => {
        const value = of.value(p)
        return value === null ? null : wanted.includes(value as string) !== isNegated
      },
    }
  }
  if (shape === 5) {
    const of = operand()
    return {
      text: `${grouped(of)} IS ${isNegated ? 'NOT ' : ''}NULL`,
      kind: 'condition',
      value: (p) => (of.value(p) === null) !== isNegated,
    }
  }
  const [of, needle] = [operand(), random.pick(['', 'a', 'ab', 'abd', 'e', 'ü', '漢', 'EU', '1', "'"])]
  const verb = random.pick(['CONTAINS', 'startswith', 'EndsWith'] as const)
  return {
    text: `${grouped(of)} ${word(verb)} ${quoted(needle)}`,
    kind: 'condition',
    value: (p) => {
      // An empty needle is answered without a look at the left side.
      const value = needle === '' ? null : of.value(p)
      if (typeof value !== 'string') return false
      const found =
        verb === 'CONTAINS'
          ? value.includes(needle)
          : verb === 'startswith'
            ? value.startsWith(needle)
            : value.endsWith(needle)
      return found !== isNegated
    },
  }
}

/** OR from left to right; the right side is not looked at when the left one is true. */
function either(left: () => boolean | null, right: () => boolean | null): boolean | null {
  const first = left()
  if (first === true) return true
  const second = right()
  if (second === true) return true
  return first === null || second === null ? null : false
}

const grouped = ({ kind, text }: Sentence): string =>
  kind === 'condition' && !['TRUE', 'false', 'Null'].includes(text) ? `(${text})` : text

/** A legal filter whose conditions are at most `depth` inside one another. */
export function condition(random: SeededRandom, depth: number): Sentence {
  if (depth <= 0) return random.pick([property, literalTruth, (r: SeededRandom) => comparison(r, 0)])(random)
  const shape = random.between(0, 5)
  if (shape <= 2) return comparison(random, depth)
  const left = condition(random, depth - 1)
  if (shape === 3) {
    return {
      text: `nOt ${grouped(left)}`,
      kind: 'condition',
      value: (p) => negate(asCondition(left.value(p))),
    }
  }
  const right = condition(random, depth - 1)
  const isOr = shape === 4
  return {
    text: `${grouped(left)} ${isOr ? 'or' : 'AND'} ${grouped(right)}`,
    kind: 'condition',
    value: (p) =>
      isOr
        ? either(
            () => asCondition(left.value(p)),
            () => asCondition(right.value(p)),
          )
        : negate(
            either(
              () => negate(asCondition(left.value(p))),
              () => negate(asCondition(right.value(p))),
            ),
          ),
  }
}
