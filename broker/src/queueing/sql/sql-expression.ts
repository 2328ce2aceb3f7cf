import type { Condition } from './conditions.ts'
import { parse } from './parser.ts'
import { PropertySlots } from './property-slots.ts'
import { SEARCH_COST } from './text-search.ts'
import { Truth } from './truth.ts'

/** A compiled SQL92 subscription (broker.md 2.5). Evaluated on the property bytes of a record, without allocation in ordinary cases. */
export class SqlExpression {
  readonly kind = 'sql'
  readonly text: string
  readonly #condition: Condition
  readonly #slots: PropertySlots

  /** @throws {BrokerError} SUBSCRIPTION_INVALID with what is wrong and where */
  constructor(text: string) {
    const { condition, names } = parse(text)
    this.text = text
    this.#condition = condition
    this.#slots = new PropertySlots(names)
  }

  /** Of evaluating it once, in comparisons. */
  get cost(): number {
    return this.#condition.cost
  }

  /** How often the properties are read through, one search for a text being one time. */
  get passes(): number {
    return 1 + this.#condition.cost / SEARCH_COST
  }

  /** What it says of the property string `bytes[start, end)`. A message is delivered on TRUE alone. */
  truth(bytes: Buffer, start: number, end: number): Truth {
    this.#slots.read(bytes, start, end)
    return this.#condition.test(this.#slots)
  }

  matches(bytes: Buffer, start: number, end: number): boolean {
    return this.truth(bytes, start, end) === Truth.TRUE
  }
}
