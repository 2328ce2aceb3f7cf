import { type Condition, sameBytes } from './conditions.ts'
import type { PropertySlots } from './property-slots.ts'
import { Truth, truthOf } from './truth.ts'

export type SearchKind = 'CONTAINS' | 'STARTSWITH' | 'ENDSWITH'

/** A search visits each byte of a value, a comparison seldom more than a few. */
export const SEARCH_COST = 8

/** CONTAINS, STARTSWITH, ENDSWITH of a needle that is not empty. An absent value makes the negated form false too (remoting.md 12.12). */
export class PropertySearch implements Condition {
  readonly cost = SEARCH_COST
  readonly depth = 1
  readonly slot: number
  readonly search: TextSearch
  readonly isNegated: boolean

  constructor(slot: number, search: TextSearch, isNegated: boolean) {
    this.slot = slot
    this.search = search
    this.isNegated = isNegated
  }

  test(slots: PropertySlots): Truth {
    const start = slots.starts[this.slot] as number
    if (start < 0) return Truth.FALSE
    return truthOf(this.search.finds(slots.bytes, start, slots.ends[this.slot] as number) !== this.isNegated)
  }
}

/** Looks for one text, not empty, inside others, as bytes: in UTF-8 no character begins inside another. */
export class TextSearch {
  readonly #needle: Buffer
  readonly #kind: SearchKind
  /** Knuth-Morris-Pratt: a needle made for it must not cost more than one look at each byte. */
  readonly #fallbacks: Int32Array

  constructor(kind: SearchKind, needle: Buffer) {
    this.#kind = kind
    this.#needle = needle
    this.#fallbacks = fallbacksOf(needle)
  }

  get isEmpty(): boolean {
    return this.#needle.length === 0
  }

  finds(bytes: Buffer, start: number, end: number): boolean {
    const { length } = this.#needle
    if (length > end - start) return false
    if (this.#kind === 'STARTSWITH') return sameBytes(bytes, start, start + length, this.#needle, 0, length)
    if (this.#kind === 'ENDSWITH') return sameBytes(bytes, end - length, end, this.#needle, 0, length)
    let matched = 0
    for (let at = start; at < end; at++) {
      const byte = bytes[at]
      while (matched > 0 && byte !== this.#needle[matched]) matched = this.#fallbacks[matched - 1] as number
      if (byte === this.#needle[matched] && ++matched === length) return true
    }
    return false
  }
}

function fallbacksOf(needle: Buffer): Int32Array {
  const fallbacks = new Int32Array(needle.length)
  let matched = 0
  for (let at = 1; at < needle.length; at++) {
    while (matched > 0 && needle[at] !== needle[matched]) matched = fallbacks[matched - 1] as number
    if (needle[at] === needle[matched]) matched++
    fallbacks[at] = matched
  }
  return fallbacks
}
