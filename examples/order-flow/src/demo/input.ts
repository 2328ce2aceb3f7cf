import { readCsv } from '../shared/csv.ts'

export type Outcome = 'paid' | 'cancelled' | 'poison' | 'invalid' | 'over-credit'

/** A file of the folder `input`; works from src and from dist alike. */
export function input(name: string): URL {
  return new URL(`../../input/${name}`, import.meta.url)
}

/** What the first `lines` lines of orders.csv must lead to, by order id in the order of the file. */
export function expectedOutcomes(lines: number): Map<string, Outcome> {
  const placed = new Set(
    readCsv(input('orders.csv'))
      .slice(0, lines)
      .map(({ id }) => id),
  )
  const outcomes = readCsv(input('outcomes.csv')).filter(({ id }) => placed.has(id))
  return new Map(outcomes.map(({ id = '', outcome }) => [id, outcome as Outcome]))
}
