import { pathToFileURL } from 'node:url'
import { readCsv } from '../shared/csv.ts'
import type { DemoOptions } from './options.ts'

export type Outcome = 'paid' | 'cancelled' | 'poison' | 'invalid' | 'over-credit'

/** A file the demo reads; those it brings along are found from src and from dist alike. */
export function inputFile(options: Pick<DemoOptions, 'input'>, name: string): URL {
  const folder = options.input === undefined ? new URL('../../input/', import.meta.url) : pathToFileURL(options.input)
  return new URL(name, `${folder.href.replace(/\/$/, '')}/`)
}

/** What the first `orders` lines of orders.csv must lead to, by order id in the order of the file. */
export function expectedOutcomes(options: Pick<DemoOptions, 'input' | 'orders'>): Map<string, Outcome> {
  const lines = readCsv(inputFile(options, 'orders.csv')).slice(0, options.orders)
  const placed = new Set(lines.map(({ id }) => id))
  const outcomes = readCsv(inputFile(options, 'outcomes.csv')).filter(({ id }) => placed.has(id))
  return new Map(outcomes.map(({ id = '', outcome }) => [id, outcome as Outcome]))
}
