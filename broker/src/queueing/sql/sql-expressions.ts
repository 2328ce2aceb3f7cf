import { BrokerError } from '../../broker-error.ts'
import { SqlExpression } from './sql-expression.ts'

/** Characters of all remembered expressions; compiled they take about ten times that. */
const CHARACTERS_MAX = 1 << 20

/** SQL92 subscriptions compiled once and shared by all who use the same text; emptied when full. */
export class SqlExpressions {
  readonly #byText = new Map<string, SqlExpression>()
  #isEnabled: boolean
  readonly #charactersMax: number
  #characters = 0

  /** @param options.enabled the broker option `enablePropertyFilter`, default true */
  constructor(options: { enabled?: boolean; charactersMax?: number } = {}) {
    this.#isEnabled = options.enabled ?? true
    this.#charactersMax = options.charactersMax ?? CHARACTERS_MAX
  }

  /** False: further subscriptions by SQL92 are refused. */
  set isEnabled(isEnabled: boolean) {
    this.#isEnabled = isEnabled
    this.#byText.clear()
    this.#characters = 0
  }

  get size(): number {
    return this.#byText.size
  }

  /** @throws {BrokerError} FILTER_DISABLED, SUBSCRIPTION_INVALID with what is wrong and where */
  of(text: string): SqlExpression {
    const known = this.#byText.get(text)
    if (known !== undefined) return known
    if (!this.#isEnabled) {
      throw new BrokerError(
        'FILTER_DISABLED',
        'The broker does not support consumer to filter message by SQL92: its option enablePropertyFilter is false',
      )
    }
    const expression = new SqlExpression(text)
    if (this.#characters + text.length > this.#charactersMax) {
      this.#byText.clear()
      this.#characters = 0
    }
    this.#byText.set(text, expression)
    this.#characters += text.length
    return expression
  }
}
