import { ByteTable } from '../byte-table.ts'
import {
  accepted,
  Accepts,
  Always,
  type Condition,
  flipped,
  IsUnknown,
  Not,
  PropertiesEqual,
  PropertiesInOrder,
  PropertyAgainstNumber,
  PropertyAsCondition,
  PropertyEqualsText,
  PropertyIn,
  PropertyIsNull,
  Several,
  Unless,
} from './conditions.ts'
import { MixedEqual } from './mixed-equal.ts'
import { compareNumbers, compareText, negated, type SqlNumber } from './numbers.ts'
import { sqlError } from './sql-error.ts'
import { PropertySearch, type SearchKind, TextSearch } from './text-search.ts'
import { Truth, truthOf } from './truth.ts'

/** A value of an expression, before a comparison makes a condition of it. `at`: position in the text, from 0. */
export type Operand =
  | { readonly kind: 'property'; readonly slot: number; readonly at: number }
  | { readonly kind: 'text'; readonly bytes: Buffer; readonly at: number }
  | { readonly kind: 'number'; readonly number: SqlNumber; readonly isLiteral: boolean; readonly at: number }
  /** TRUE, FALSE and NULL are literals; NULL is unknown. */
  | { readonly kind: 'condition'; readonly condition: Condition; readonly isLiteral: boolean; readonly at: number }
  /** The negative of what is no number: always null. `condition` can still fail. */
  | { readonly kind: 'nothing'; readonly condition: Condition | undefined; readonly at: number }

const isNull = (operand: Operand): boolean =>
  operand.kind === 'condition' &&
  operand.isLiteral &&
  operand.condition instanceof Always &&
  operand.condition.truth === Truth.UNKNOWN

/** An operand of AND, OR, NOT, or the whole expression. @throws {BrokerError} SUBSCRIPTION_INVALID */
export function asCondition(operand: Operand): Condition {
  if (operand.kind === 'condition') return operand.condition
  if (operand.kind === 'property') return new PropertyAsCondition(operand.slot)
  throw sqlError('a condition is needed here, not a mere value', operand.at)
}

/** @throws {BrokerError} SUBSCRIPTION_INVALID */
export function equal(left: Operand, right: Operand): Condition {
  for (const operand of [left, right]) {
    if (isNull(operand)) throw sqlError('NULL equals nothing; write IS NULL or IS NOT NULL', operand.at)
  }
  if (
    left.kind === 'condition' &&
    left.isLiteral &&
    (right.kind === 'text' || (right.kind === 'number' && right.isLiteral))
  ) {
    throw sqlError('TRUE and FALSE cannot be compared with a text or a number', right.at)
  }
  if (left.kind === 'property') {
    if (right.kind === 'property') return new PropertiesEqual(left.slot, right.slot)
    if (right.kind === 'text') return new PropertyEqualsText(left.slot, right.bytes, Truth.UNKNOWN)
    if (right.kind === 'number') {
      return new PropertyAgainstNumber(left.slot, Accepts['='], right.number, Truth.UNKNOWN)
    }
  }
  if (right.kind === 'property') {
    // A null on the right makes it false, one on the left unknown: so does a stock broker.
    if (left.kind === 'text') return new PropertyEqualsText(right.slot, left.bytes, Truth.FALSE)
    if (left.kind === 'number') return new PropertyAgainstNumber(right.slot, Accepts['='], left.number, Truth.FALSE)
  }
  if (left.kind === 'number' && right.kind === 'number') {
    return new Always(truthOf(compareNumbers(left.number, right.number) === 0))
  }
  if (left.kind === 'text' && right.kind === 'text') return new Always(truthOf(left.bytes.equals(right.bytes)))
  if (left.kind === 'text' && right.kind === 'number') return textEqualsNumber(left.bytes, right.number)
  if (left.kind === 'number' && right.kind === 'text') return textEqualsNumber(right.bytes, left.number)
  return new MixedEqual(left, right)
}

const textEqualsNumber = (text: Buffer, number: SqlNumber): Condition =>
  new Always(accepted(Accepts['='], compareText(text, 0, text.length, number)))

/**
 * `<`, `<=`, `>`, `>=`.
 * @throws {BrokerError} SUBSCRIPTION_INVALID
 */
export function inOrder(left: Operand, accepts: number, right: Operand): Condition {
  for (const operand of [left, right]) {
    if (operand.kind === 'text' || operand.kind === 'condition') {
      throw sqlError('only numbers and properties have an order', operand.at)
    }
  }
  if (left.kind === 'nothing' || right.kind === 'nothing') {
    const sides = [left, right].map((side) => unknownUnlessFailing(side))
    return new Several(sides, Truth.FALSE)
  }
  if (left.kind === 'property') {
    if (right.kind === 'number') return new PropertyAgainstNumber(left.slot, accepts, right.number, Truth.UNKNOWN)
    if (right.kind === 'property') return new PropertiesInOrder(left.slot, right.slot, accepts)
  }
  if (left.kind !== 'number') throw sqlError('only numbers and properties have an order', left.at)
  if (right.kind === 'property') {
    return new PropertyAgainstNumber(right.slot, flipped(accepts), left.number, Truth.UNKNOWN)
  }
  if (right.kind !== 'number') throw sqlError('only numbers and properties have an order', right.at)
  return new Always(accepted(accepts, compareNumbers(left.number, right.number)))
}

/** @throws {BrokerError} SUBSCRIPTION_INVALID */
export function checkRange(low: Operand, high: Operand): void {
  if (low.kind !== 'number' || high.kind !== 'number' || !low.isLiteral || !high.isLiteral) return
  if (compareNumbers(low.number, high.number) > 0)
    throw sqlError('the lower end of BETWEEN is above the upper one', low.at)
}

export function isNullCondition(operand: Operand): Condition {
  switch (operand.kind) {
    case 'property':
      return new PropertyIsNull(operand.slot)
    case 'condition':
      return new IsUnknown(operand.condition)
    case 'nothing':
      return operand.condition === undefined ? new Always(Truth.TRUE) : new Unless(operand.condition, Truth.TRUE)
    default:
      return new Always(Truth.FALSE)
  }
}

/** @throws {BrokerError} SUBSCRIPTION_INVALID */
export function inTexts(operand: Operand, texts: readonly string[], isNegated: boolean): Condition {
  if (operand.kind !== 'property') throw sqlError('IN needs a property on its left', operand.at)
  const table = new ByteTable<true>()
  for (const text of texts) table.set(Buffer.from(text), true)
  return new PropertyIn(operand.slot, table, isNegated)
}

export function searched(operand: Operand, kind: SearchKind, needle: string, isNegated: boolean): Condition {
  const search = new TextSearch(kind, Buffer.from(needle))
  // Without a look at the left side, which might not be readable.
  if (search.isEmpty) return new Always(Truth.FALSE)
  switch (operand.kind) {
    case 'property':
      return new PropertySearch(operand.slot, search, isNegated)
    case 'text': {
      return new Always(truthOf(search.finds(operand.bytes, 0, operand.bytes.length) !== isNegated))
    }
    case 'number':
      return new Always(Truth.FALSE)
    default:
      return operand.condition === undefined ? new Always(Truth.FALSE) : new Unless(operand.condition, Truth.FALSE)
  }
}

/** The sign of a number; of anything else it is null. */
export function negative(operand: Operand, at: number): Operand {
  if (operand.kind === 'number') {
    return { kind: 'number', number: negated(operand.number), isLiteral: false, at }
  }
  const condition = operand.kind === 'condition' || operand.kind === 'nothing' ? operand.condition : undefined
  return { kind: 'nothing', condition, at }
}

export function not(condition: Condition): Condition {
  return new Not(condition)
}

const unknownUnlessFailing = (operand: Operand): Condition =>
  operand.kind === 'nothing' && operand.condition !== undefined
    ? new Unless(operand.condition, Truth.UNKNOWN)
    : new Always(Truth.UNKNOWN)
