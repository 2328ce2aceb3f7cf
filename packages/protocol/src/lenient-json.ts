import { ProtocolError } from './errors.ts'

const DEPTH_MAX = 100
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
const INTEGER_KEY = /-?[0-9]+/y
const LITERAL = /true|false|null/y
const SPACE = /[ \t\r\n]*/y

/**
 * Parses JSON as fastjson 1 writes it (remoting.md 1.8): besides plain JSON, object keys may be unquoted integers or whole objects; such a
 * key becomes its own JSON text. Objects have a null prototype. `$ref` is left as it is.
 * @throws {ProtocolError} BODY_INVALID
 */
export function parseLenientJson(text: string): unknown {
  const reader = new Reader(text)
  const value = reader.value(0)
  reader.expectEnd()
  return value
}

class Reader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  value(depth: number): unknown {
    if (depth > DEPTH_MAX) throw this.#error(`deeper than ${DEPTH_MAX}`)
    this.#take(SPACE)
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object(depth)
      case '[':
        return this.#array(depth)
      case '"':
        return this.#string()
    }
    const literal = this.#take(LITERAL)
    if (literal !== '') return literal === 'null' ? null : literal === 'true'
    const number = this.#take(NUMBER)
    if (number === '') throw this.#error('no value')
    return Number(number)
  }

  expectEnd(): void {
    this.#take(SPACE)
    if (this.#at !== this.#text.length) throw this.#error('text after the value')
  }

  #object(depth: number): Record<string, unknown> {
    const object: Record<string, unknown> = Object.create(null)
    this.#at++
    if (this.#next('}')) return object
    do {
      const key = this.#key(depth)
      if (!this.#next(':')) throw this.#error('no colon')
      object[key] = this.value(depth + 1)
    } while (this.#next(','))
    if (!this.#next('}')) throw this.#error('object without an end')
    return object
  }

  #key(depth: number): string {
    this.#take(SPACE)
    const start = this.#at
    if (this.#text[start] === '"') return this.#string()
    if (this.#text[start] === '{') {
      this.value(depth + 1)
      return this.#text.slice(start, this.#at)
    }
    const integer = this.#take(INTEGER_KEY)
    if (integer === '') throw this.#error('no key')
    return integer
  }

  #array(depth: number): unknown[] {
    const array: unknown[] = []
    this.#at++
    if (this.#next(']')) return array
    do array.push(this.value(depth + 1))
    while (this.#next(','))
    if (!this.#next(']')) throw this.#error('array without an end')
    return array
  }

  #string(): string {
    const start = this.#at
    for (;;) {
      this.#at = this.#text.indexOf('"', this.#at + 1)
      if (this.#at < 0) {
        this.#at = start
        throw this.#error('string without an end')
      }
      let backslashes = 0
      while (this.#text[this.#at - 1 - backslashes] === '\\') backslashes++
      if (backslashes % 2 === 0) break
    }
    this.#at++
    try {
      return JSON.parse(this.#text.slice(start, this.#at)) as string
    } catch (cause) {
      throw new ProtocolError('BODY_INVALID', `JSON: bad string at character ${start}`, { cause })
    }
  }

  #next(character: string): boolean {
    this.#take(SPACE)
    if (this.#text[this.#at] !== character) return false
    this.#at++
    return true
  }

  #take(pattern: RegExp): string {
    pattern.lastIndex = this.#at
    const match = pattern.exec(this.#text)
    if (match === null) return ''
    this.#at = pattern.lastIndex
    return match[0]
  }

  #error(detail: string): ProtocolError {
    return new ProtocolError('BODY_INVALID', `JSON: ${detail} at character ${this.#at}`)
  }
}
