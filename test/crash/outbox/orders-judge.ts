/** A committed order: its messages have the ids `<id>#0` … `<id>#<messages - 1>`. */
export interface OrderRow {
  readonly id: string
  readonly messages: number
}

export interface OrdersVerdict {
  readonly committed: number
  readonly received: number
  /** Messages of committed orders that never came. */
  readonly lost: readonly string[]
  /** Messages that came without a committed order. */
  readonly ghosts: readonly string[]
  /** Messages that came more than once. */
  readonly doubles: readonly string[]
  /** Orders whose placer was told another outcome than Postgres holds. */
  readonly untrue: readonly string[]
}

type Event = { readonly event: string; readonly id?: unknown; readonly outcome?: unknown }

/** Compares what Postgres committed with what a consumer received and the placers were told; knows nothing of the product. */
export class OrdersJudge {
  readonly #received = new Map<string, number>()
  readonly #told = new Map<string, string>()

  take(event: Event): void {
    const id = String(event.id)
    if (event.event === 'recv') this.#received.set(id, (this.#received.get(id) ?? 0) + 1)
    if (event.event === 'order') this.#told.set(id, String(event.outcome))
  }

  verdict(orders: readonly OrderRow[]): OrdersVerdict {
    const expected = new Set(
      orders.flatMap(({ id, messages }) => Array.from({ length: messages }, (_, n) => `${id}#${n}`)),
    )
    const committed = new Set(orders.map(({ id }) => id))
    const received = [...this.#received.keys()]
    const isUntrue = ([id, outcome]: [string, string]): boolean =>
      outcome !== 'inDoubt' && (outcome === 'committed') !== committed.has(id)
    return {
      committed: orders.length,
      received: received.length,
      lost: [...expected].filter((id) => !this.#received.has(id)),
      ghosts: received.filter((id) => !expected.has(id)),
      doubles: received.filter((id) => this.#received.get(id) !== 1),
      untrue: [...this.#told].filter(isUntrue).map(([id, outcome]) => `${id} ${outcome}`),
    }
  }
}
