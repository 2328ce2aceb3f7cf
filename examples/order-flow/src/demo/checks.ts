import type { Outcome } from './input.ts'
import { column } from './observe.ts'
import { openHalves } from './open-halves.ts'
import { foundPaths, tracePaths } from './show-trace.ts'
import type { Story } from './story.ts'
import { ordersProcesses, refusedOverHttp } from './web-scene.ts'
import { services, type World } from './world.ts'

/** One line of the final table: these ids should be there, those are. */
export interface Check {
  what: string
  expected: string[]
  found: string[]
  /** It may be wrong, and why. */
  notPromised?: string
}

/** Compares what outcomes.csv promises with what Postgres and broker hold now. */
export async function collectChecks(world: World, outcomes: Map<string, Outcome>, story: Story): Promise<Check[]> {
  const { knex } = world
  const ids = (...wanted: Outcome[]): string[] =>
    [...outcomes].filter(([, outcome]) => wanted.includes(outcome)).map(([id]) => id)
  const rows = (sql: string): Promise<string[]> => column(knex, sql)
  const shipped = await rows('select order_id from shipments')
  const billed = await rows('select order_id from invoices')
  const shippable = ids('paid', 'poison')
  const arrivals = (what: string, paid: string[]): Check[] => checkArrivals(what, paid, shippable, { shipped, billed })
  const creditReason = `reason like '%above the credit%'`
  const invalid = await rows(`select id from rejected_orders where not ${creditReason}`)
  const overCredit = await rows(`select id from rejected_orders where ${creditReason}`)
  const order = check('events in order', journalOf(outcomes), await rows(journal))
  return [
    check('orders paid', ids('paid', 'poison'), await rows(`select id from orders where status = 'paid'`)),
    check('  shipped by stock', shippable, shipped),
    check('  billed by billing', ids('paid', 'poison'), billed),
    check('  dead letters of stock', ids('poison'), story.deadLetters),
    check('refused: invalid', ids('invalid'), invalid),
    check('refused: above credit', ids('over-credit'), overCredit),
    check('unpaid, cancelled', ids('cancelled'), await rows(`select id from orders where status = 'cancelled'`)),
    check('  letters about it', ids('cancelled'), await rows('select order_id from cancellation_letters')),
    check('  cancelled too early', [], await rows(tooEarly(world.paymentTimeMs))),
    ...arrivals('cut off after COMMIT', story.cutOff),
    check('left: outbox rows', [], await rows(undelivered)),
    check('credit booked wrongly', [], await rows(wrongCredit)),
    ...checkWeb(story),
    world.isTandemMQ ? order : { ...order, notPromised: 'by this broker for transactions' },
    ...arrivals('taken without broker', story.withoutBroker),
    check('health page meanwhile', ['503'], story.healthWithoutBroker),
    check('left: half messages', [], await openHalves(world)),
  ]
}

/** HTTP, request and reply, broadcast, traces, health. */
function checkWeb({ web, trace, healthy }: Story): Check[] {
  const bothProcesses = ordersProcesses.map((process) => `${process}: ${web.newCents}`)
  return [
    check('refused over HTTP', refusedOverHttp, web.refused),
    check('price heard by each process', bothProcesses, web.pricesHeard),
    check('trace: ways of one tree', tracePaths, foundPaths(trace)),
    check('health pages at the end', [...services], healthy),
  ]
}

/** `O-1001: placed paid`, for every order that came to be. */
function journalOf(outcomes: ReadonlyMap<string, Outcome>): string[] {
  return [...outcomes].flatMap(([id, outcome]) => {
    if (outcome === 'cancelled') return `${id}: placed cancelled`
    return outcome === 'paid' || outcome === 'poison' ? `${id}: placed paid` : []
  })
}

const journal = `select order_id || ': ' || string_agg(event, ' ' order by id) from journal group by order_id`
const undelivered = 'select id::text from tandem.outbox union all select id::text from tandem.outbox_dead'
const tooEarly = (paymentTimeMs: number): string =>
  `select id from orders where cancelled_at < placed_at + interval '${paymentTimeMs} ms'`
const wrongCredit = `select c.id from customers c left join orders o on o.customer = c.id and o.status = 'paid'
  group by c.id having c.booked <> coalesce(sum(o.amount), 0)`

/** Of some paid orders: have they arrived in both services? Stock ships those of `shippable`, whenever they were taken. */
export function checkArrivals(
  what: string,
  paid: string[],
  shippable: string[],
  { shipped, billed }: { shipped: string[]; billed: string[] },
): Check[] {
  const among = (found: string[]): string[] => found.filter((id) => paid.includes(id))
  return [
    check(
      `${what}: shipped`,
      shippable.filter((id) => paid.includes(id)),
      among(shipped),
    ),
    check(`${what}: billed`, paid, among(billed)),
  ]
}

function check(what: string, expected: string[], found: string[]): Check {
  return { what, expected, found }
}

/** What is wrong with a line: ids that are missing, should not be there, or are there more than once. */
export function differences({ expected, found }: Check): { lost: string[]; foreign: string[]; twice: string[] } {
  const there = new Set(found)
  const wanted = new Set(expected)
  return {
    lost: expected.filter((id) => !there.has(id)),
    foreign: [...there].filter((id) => !wanted.has(id)),
    twice: [...new Set(found.filter((id, index) => found.indexOf(id) !== index))],
  }
}

export function isRight(line: Check): boolean {
  const { lost, foreign, twice } = differences(line)
  return lost.length + foreign.length + twice.length === 0
}

/** The final table; below it, line by line, what is wrong. */
export function showChecks(checks: readonly Check[]): string[] {
  const cell = (value: string | number): string => String(value).padStart(9)
  const lines = [`${'what'.padEnd(32)}${['expected', 'found', 'lost', 'foreign', 'twice'].map(cell).join('')}`]
  const wrong: string[] = []
  for (const line of checks) {
    const { lost, foreign, twice } = differences(line)
    const numbers = [line.expected.length, line.found.length, lost.length, foreign.length, twice.length]
    const verdict = isRight(line) ? 'ok' : line.notPromised === undefined ? 'WRONG' : `not promised ${line.notPromised}`
    lines.push(`${line.what.padEnd(32)}${numbers.map(cell).join('')}   ${verdict}`)
    for (const [name, ids] of Object.entries({ lost, foreign, twice })) {
      if (ids.length > 0) wrong.push(`${line.what.trim()}: ${name}: ${ids.slice(0, 20).join(', ')}`)
    }
  }
  return [...lines, ...wrong]
}
