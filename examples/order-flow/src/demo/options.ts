import { parseArgs } from 'node:util'

export interface DemoOptions {
  /** Folder with orders.csv, customers.csv, articles.csv and outcomes.csv; undefined: the ones of this example. */
  input: string | undefined
  /** Lines of orders.csv to play. */
  orders: number
  perSecond: number
  /** Lines one below the other instead of a bar that moves. */
  plain: boolean
  /** Leave everything running after the table. */
  keep: boolean
  /** No story: start everything and leave it running. */
  stay: boolean
  /** A broker somebody else runs; undefined: the demo starts one. */
  nameServer: string | undefined
}

export const usage = `usage: npm run demo -- [options]
  --plain                 plain lines, no moving progress bar (default when the output is no terminal)
  --stay                  start everything and stay, no story: for your own curl
  --keep                  leave everything running afterwards and say how to look around
  --nameserver HOST:PORT  use that broker instead of starting one (it is cut off, not killed)
  --orders N              the first N lines of orders.csv only, at least 40 (default: all)
  --input DIR             your own orders.csv, customers.csv, articles.csv and outcomes.csv
  --rate N                orders per second, 1 to 200 (default 40)`

/** @throws {Error} on options that are none */
export function parseOptions(args: string[], isTerminal: boolean): DemoOptions {
  const { values } = parseArgs({
    args,
    options: {
      plain: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      stay: { type: 'boolean', default: false },
      nameserver: { type: 'string' },
      orders: { type: 'string', default: '1000000' },
      input: { type: 'string' },
      rate: { type: 'string', default: '40' },
    },
  })
  return {
    orders: within('orders', values.orders, 40, 1_000_000),
    perSecond: within('rate', values.rate, 1, 200),
    plain: values.plain || !isTerminal,
    keep: values.keep,
    stay: values.stay,
    nameServer: values.nameserver,
    input: values.input,
  }
}

function within(name: string, text: string, least: number, most: number): number {
  const value = Number(text)
  if (Number.isInteger(value) && value >= least && value <= most) return value
  throw new Error(`--${name} takes a whole number from ${least} to ${most}, not "${text}"`)
}
