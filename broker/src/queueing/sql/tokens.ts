import { SQL_LENGTH_MAX } from './limits.ts'
import { sqlError } from './sql-error.ts'

export type TokenKind = 'name' | 'keyword' | 'text' | 'whole' | 'float' | 'symbol' | 'end'

export interface Token {
  readonly kind: TokenKind
  /** Keywords in capitals, texts without quotes, whole numbers without their L, everything else as written. */
  readonly text: string
  /** Position in the expression, from 0. */
  readonly at: number
}

const keywords = new Set('NOT AND OR BETWEEN IN IS NULL TRUE FALSE CONTAINS STARTSWITH ENDSWITH'.split(' '))
const blank = /[ \t\n\r\f]+/y
const blockComment = /\/\*[^*]*\*+(?:[^/*][^*]*\*+)*\//y
const lineComment = /--[^\n\r]*[\n\r]/y
const word = /[A-Za-z_$][A-Za-z0-9_$]*/y
const quoted = /'[^']*(?:''[^']*)*'/y
const float = /(?:\d+\.\d*|\.\d+)(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+/y
const whole = /[1-9]\d*[lL]?|0/y
const symbol = /<>|<=|>=|[=<>(),+-]/y

/**
 * Cuts an expression into tokens, the last one of kind `end` (SelectorParser.jj, broker.md 2.5).
 * @throws {BrokerError} SUBSCRIPTION_INVALID
 */
export function tokensOf(expression: string): Token[] {
  if (expression.length > SQL_LENGTH_MAX) {
    throw sqlError(
      `an expression has at most ${SQL_LENGTH_MAX} characters, this one ${expression.length}`,
      SQL_LENGTH_MAX,
    )
  }
  const tokens: Token[] = []
  let at = 0
  const take = (form: RegExp): string | undefined => {
    form.lastIndex = at
    const found = form.exec(expression)?.[0]
    if (found !== undefined) at += found.length
    return found
  }
  while (at < expression.length) {
    const from = at
    const skipped = take(blank) ?? take(blockComment) ?? take(lineComment)
    if (skipped !== undefined) continue
    // Nothing that begins with a sign can follow a value, so this is a comment that ends with the text.
    if (expression.startsWith('--', at) && endsValue(tokens.at(-1))) break
    let text = take(word)
    if (text !== undefined) {
      const capitals = text.toUpperCase()
      const isKeyword = keywords.has(capitals)
      tokens.push({ kind: isKeyword ? 'keyword' : 'name', text: isKeyword ? capitals : text, at: from })
    } else if ((text = take(quoted)) !== undefined) {
      tokens.push({ kind: 'text', text: text.slice(1, -1).replaceAll("''", "'"), at: from })
    } else if ((text = take(float)) !== undefined) tokens.push({ kind: 'float', text, at: from })
    else if ((text = take(whole)) !== undefined) {
      tokens.push({ kind: 'whole', text: text.replace(/[lL]$/, ''), at: from })
    } else if ((text = take(symbol)) !== undefined) tokens.push({ kind: 'symbol', text, at: from })
    else throw sqlError(strangeness(expression, at), at)
  }
  tokens.push({ kind: 'end', text: '', at: expression.length })
  return tokens
}

function endsValue(token: Token | undefined): boolean {
  if (token === undefined) return false
  if (token.kind === 'symbol') return token.text === ')'
  return token.kind !== 'keyword' || token.text === 'NULL' || token.text === 'TRUE' || token.text === 'FALSE'
}

function strangeness(expression: string, at: number): string {
  if (expression[at] === "'") return 'the text that begins here has no closing quote'
  if (expression.startsWith('/*', at)) return 'the comment that begins here does not end'
  if (expression[at] === '"') return 'texts stand in single quotes'
  if (expression.startsWith('!=', at)) return 'write <> for "not equal"'
  const character = String.fromCodePoint(expression.codePointAt(at) ?? 0)
  return `${JSON.stringify(character)} has no meaning here; names are letters, digits, _ and $`
}
