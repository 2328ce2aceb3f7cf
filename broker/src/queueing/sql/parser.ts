import { Accepts, Always, type Condition, Several } from './conditions.ts'
import { SQL_COST_MAX, SQL_DEPTH_MAX } from './limits.ts'
import { type SqlNumber, wholeNumber } from './numbers.ts'
import {
  asCondition,
  checkRange,
  equal,
  inOrder,
  inTexts,
  isNullCondition,
  negative,
  not,
  type Operand,
  searched,
} from './operands.ts'
import { sqlError } from './sql-error.ts'
import type { SearchKind } from './text-search.ts'
import { type Token, tokensOf } from './tokens.ts'
import { Truth } from './truth.ts'

export interface ParsedExpression {
  condition: Condition
  /** Properties asked for; a name's position is its slot. */
  names: string[]
}

/**
 * Parses and compiles in one pass. Grammar and precedence: broker.md 2.5 (SelectorParser.jj); unlike the stock parser it
 * refuses text after the end of the expression instead of ignoring it (remoting.md 11.16).
 * @throws {BrokerError} SUBSCRIPTION_INVALID with the position
 */
export function parse(text: string): ParsedExpression {
  const parser = new Parser(tokensOf(text))
  return { condition: parser.whole(), names: parser.names }
}

class Parser {
  readonly #tokens: readonly Token[]
  readonly #slots = new Map<string, number>()
  #next = 0
  #depth = 0

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  get names(): string[] {
    return [...this.#slots.keys()]
  }

  whole(): Condition {
    const condition = asCondition(this.#or())
    if (this.#token.kind !== 'end') throw this.#unexpected('AND, OR or the end')
    return condition
  }

  get #token(): Token {
    return this.#tokens[this.#next] as Token
  }

  #or(): Operand {
    return this.#several('OR', Truth.TRUE, () => this.#several('AND', Truth.FALSE, () => this.#equality()))
  }

  #several(word: string, decides: typeof Truth.TRUE | typeof Truth.FALSE, part: () => Operand): Operand {
    const first = part()
    if (!this.#is(word)) return first
    const conditions = [asCondition(first)]
    while (this.#take(word)) conditions.push(asCondition(part()))
    return this.#condition(new Several(conditions, decides), first.at)
  }

  #equality(): Operand {
    let left = this.#comparison()
    for (;;) {
      const { at } = left
      if (this.#take('=')) left = this.#condition(equal(left, this.#comparison()), at)
      else if (this.#take('<>')) left = this.#condition(not(equal(left, this.#comparison())), at)
      else if (this.#take('IS')) {
        const isNegated = this.#take('NOT')
        this.#expect('NULL')
        const isNull = isNullCondition(left)
        left = this.#condition(isNegated ? not(isNull) : isNull, at)
      } else return left
    }
  }

  #comparison(): Operand {
    let left = this.#unary()
    for (;;) {
      const { at } = left
      const order = this.#token.kind === 'symbol' ? orders[this.#token.text] : undefined
      if (order !== undefined) {
        this.#next++
        left = this.#condition(inOrder(left, order, this.#unary()), at)
        continue
      }
      const isNegated = this.#take('NOT')
      const { text } = this.#token
      if (this.#take('BETWEEN')) left = this.#condition(this.#between(left, isNegated), at)
      else if (this.#take('IN')) left = this.#condition(inTexts(left, this.#texts(), isNegated), at)
      else if (this.#take('CONTAINS') || this.#take('STARTSWITH') || this.#take('ENDSWITH')) {
        left = this.#condition(searched(left, text as SearchKind, this.#text(), isNegated), at)
      } else if (isNegated) throw this.#unexpected('BETWEEN, IN, CONTAINS, STARTSWITH or ENDSWITH')
      else return left
    }
  }

  #between(operand: Operand, isNegated: boolean): Condition {
    const low = this.#unary()
    this.#expect('AND')
    const high = this.#unary()
    checkRange(low, high)
    if (isNegated) {
      return new Several([inOrder(operand, Accepts['<'], low), inOrder(operand, Accepts['>'], high)], Truth.TRUE)
    }
    return new Several([inOrder(operand, Accepts['>='], low), inOrder(operand, Accepts['<='], high)], Truth.FALSE)
  }

  #texts(): string[] {
    this.#expect('(')
    const texts = [this.#text()]
    while (this.#take(',')) texts.push(this.#text())
    this.#expect(')')
    return texts
  }

  #unary(): Operand {
    const { at } = this.#token
    if (this.#take('+')) return this.#deeper(() => this.#unary())
    if (this.#take('-'))
      return negative(
        this.#deeper(() => this.#unary()),
        at,
      )
    if (this.#take('NOT')) return this.#condition(not(asCondition(this.#deeper(() => this.#unary()))), at)
    return this.#primary()
  }

  #primary(): Operand {
    const { kind, text, at } = this.#token
    if (kind === 'name') {
      this.#next++
      return { kind: 'property', slot: this.#slotOf(text), at }
    }
    if (kind === 'text') return { kind: 'text', bytes: Buffer.from(this.#text()), at }
    if (kind === 'whole' || kind === 'float') {
      this.#next++
      return { kind: 'number', number: kind === 'whole' ? wholeOf(text, at) : floatOf(text, at), isLiteral: true, at }
    }
    for (const [word, truth] of literals) {
      if (this.#take(word)) return { kind: 'condition', condition: new Always(truth), isLiteral: true, at }
    }
    if (!this.#take('(')) throw this.#unexpected('a property, a text, a number or "("')
    const inner = this.#deeper(() => this.#or())
    this.#expect(')')
    return inner
  }

  #slotOf(name: string): number {
    const slot = this.#slots.get(name) ?? this.#slots.size
    this.#slots.set(name, slot)
    return slot
  }

  #condition(condition: Condition, at: number): Operand {
    if (condition.depth > SQL_DEPTH_MAX) throw tooDeep(at)
    if (condition.cost > SQL_COST_MAX) throw sqlError(`the expression costs more than ${SQL_COST_MAX} comparisons`, at)
    return { kind: 'condition', condition, isLiteral: false, at }
  }

  #deeper(part: () => Operand): Operand {
    if (++this.#depth > SQL_DEPTH_MAX) throw tooDeep(this.#token.at)
    const operand = part()
    this.#depth--
    return operand
  }

  #is(text: string): boolean {
    const { kind } = this.#token
    return (kind === 'keyword' || kind === 'symbol') && this.#token.text === text
  }

  #take(text: string): boolean {
    if (!this.#is(text)) return false
    this.#next++
    return true
  }

  #expect(text: string): void {
    if (!this.#take(text)) throw this.#unexpected(text)
  }

  #text(): string {
    if (this.#token.kind !== 'text') throw this.#unexpected('a text in single quotes')
    const { text } = this.#token
    this.#next++
    return text
  }

  #unexpected(wanted: string): Error {
    const { kind, text, at } = this.#token
    const found = kind === 'end' ? 'the end' : kind === 'text' ? `'${text}'` : text
    return sqlError(`expected ${wanted}, found ${found.length > 40 ? `${found.slice(0, 40)}…` : found}`, at)
  }
}

const orders: Record<string, number> = {
  '<': Accepts['<'],
  '<=': Accepts['<='],
  '>': Accepts['>'],
  '>=': Accepts['>='],
}
const literals = [
  ['TRUE', Truth.TRUE],
  ['FALSE', Truth.FALSE],
  ['NULL', Truth.UNKNOWN],
] as const

const tooDeep = (at: number): Error => sqlError(`the expression is nested more than ${SQL_DEPTH_MAX} deep`, at)

function wholeOf(digits: string, at: number): SqlNumber {
  const number = wholeNumber(digits)
  if (number === undefined) throw sqlError(`${digits} does not fit 64 bits`, at)
  return number
}

/** The stock parser takes the smallest positive double for the smallest one, so 0.0 is out of range. */
function floatOf(text: string, at: number): SqlNumber {
  const value = Number(text)
  if (value === 0) throw sqlError(`${text} is refused by RocketMQ as too small; write 0`, at)
  if (value === Number.POSITIVE_INFINITY) throw sqlError(`${text} is too large for a double`, at)
  return { type: 'double', value, exact: undefined }
}
