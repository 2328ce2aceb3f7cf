/** What a statement does to the transaction it runs in; `mixed`: several statements in one text, one of them such a one. */
export type Control =
  | { readonly kind: 'begin' | 'commit' | 'rollback' | 'prepare' | 'mixed' }
  | { readonly kind: 'savepoint' | 'release' | 'rollbackTo'; readonly name: string }

const WORDS = String.raw`(?:begin|start\s+transaction|commit(?!\s+prepared)|end|rollback(?!\s+prepared)|abort|savepoint|release|prepare\s+transaction)\b`
const anywhere = new RegExp(`\\b${WORDS}`, 'i')
const here = new RegExp(WORDS, 'iy')
const rollbackTo = /(?:rollback|abort)\s+(?:(?:work|transaction)\s+)?to\s+(?:savepoint\s+)?/iy
const savepoint = /savepoint\s+/iy
const release = /release\s+(?:savepoint\s+)?/iy
const identifier = /"((?:[^"]|"")*)"|([^\s;"]+)/y
const dollar = /\$(?:[a-z_][a-z_0-9]*)?\$/iy
const blank = /\s/

const single = {
  begin: { kind: 'begin' },
  start: { kind: 'begin' },
  commit: { kind: 'commit' },
  end: { kind: 'commit' },
  rollback: { kind: 'rollback' },
  abort: { kind: 'rollback' },
  prepare: { kind: 'prepare' },
} as const satisfies Record<string, Control>

/** @returns undefined for nearly everything: a statement that leaves the transaction as it is */
export function controlOf(text: string): Control | undefined {
  const start = skipGap(text, 0)
  const word = match(here, text, start)?.[0].split(/\s/, 1)[0]?.toLowerCase()
  if (word === undefined) return hidesControl(text, start) ? { kind: 'mixed' } : undefined
  if (skipGap(text, nextStatement(text, start)) < text.length) return { kind: 'mixed' }
  if (word === 'savepoint') return { kind: 'savepoint', name: nameAfter(savepoint, text, start) ?? '' }
  if (word === 'release') return { kind: 'release', name: nameAfter(release, text, start) ?? '' }
  const name = nameAfter(rollbackTo, text, start)
  return name === undefined ? single[word as keyof typeof single] : { kind: 'rollbackTo', name }
}

function match(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at
  return pattern.exec(text)
}

function hidesControl(text: string, start: number): boolean {
  if (!text.includes(';') || !anywhere.test(text) || /\bbegin\s+atomic\b/i.test(text)) return false
  for (let at = nextStatement(text, start); at < text.length; at = nextStatement(text, at)) {
    at = skipGap(text, at)
    if (match(here, text, at) !== null) return true
  }
  return false
}

/** As Postgres compares names: unquoted ones in lower case. */
function nameAfter(prefix: RegExp, text: string, at: number): string | undefined {
  const before = match(prefix, text, at)
  if (before === null) return undefined
  const [, inQuotes, plain] = match(identifier, text, at + before[0].length) ?? []
  return inQuotes?.replaceAll('""', '"') ?? plain?.toLowerCase()
}

const after = (found: number, length: number, text: string): number => (found === -1 ? text.length : found + length)

/** The end of the comment that begins at `at`; `at` where none begins. */
function skipComment(text: string, at: number): number {
  if (text.startsWith('--', at)) return after(text.indexOf('\n', at), 1, text)
  return text.startsWith('/*', at) ? after(text.indexOf('*/', at + 2), 2, text) : at
}

/** Past blanks, comments and empty statements. */
function skipGap(text: string, from: number): number {
  let at = from
  while (at < text.length) {
    const next = text[at] === ';' || blank.test(text[at] ?? '') ? at + 1 : skipComment(text, at)
    if (next === at) break
    at = next
  }
  return at
}

/** Behind the next semicolon that is none of a string, a quoted name, a function body or a comment. */
function nextStatement(text: string, from: number): number {
  let at = from
  while (at < text.length) {
    switch (text[at]) {
      case ';':
        return at + 1
      case "'":
        at = /e/i.test(text[at - 1] ?? '') ? skipEscaped(text, at + 1) : after(text.indexOf("'", at + 1), 1, text)
        break
      case '"':
        at = after(text.indexOf('"', at + 1), 1, text)
        break
      case '$': {
        const tag = match(dollar, text, at)?.[0]
        at = tag === undefined ? at + 1 : after(text.indexOf(tag, at + tag.length), tag.length, text)
        break
      }
      default:
        at = Math.max(skipComment(text, at), at + 1)
    }
  }
  return at
}

/** Behind a string with backslashes. */
function skipEscaped(text: string, from: number): number {
  for (let at = from; at < text.length; at++) {
    if (text[at] === '\\') at++
    else if (text[at] === "'") return at + 1
  }
  return text.length
}
