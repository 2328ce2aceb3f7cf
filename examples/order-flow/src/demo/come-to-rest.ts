import type { Outcome } from './input.ts'
import { column, counts, whileOrdersCome } from './observe.ts'
import type { Timeline } from './timeline.ts'
import type { World } from './world.ts'

const QUIET_SECONDS = 1.5
const FINISH_SECONDS_MAX = 30

/** Until everything has arrived and nothing moves any more; after 30 s the table says what is missing. */
export async function comeToRest(world: World, timeline: Timeline, outcomes: ReadonlyMap<string, Outcome>) {
  const { knex } = world
  const until = (what: string, timeoutMs: number, look: () => Promise<boolean>): Promise<true> =>
    whileOrdersCome(world, timeline, outcomes.size, { what, timeoutMs }, async () => (await look()) && true)
  await until('every order', 120_000, async () => (await counts(knex)).handled >= outcomes.size)
  timeline.say('orders', 'all of the file placed or rejected')
  const deadline = timeline.seconds + FINISH_SECONDS_MAX
  let last = ''
  let quietSince = 0
  await until('services that come to rest', 60_000, async () => {
    const now = timeline.seconds
    const open = await unfinished(world, outcomes)
    const state = JSON.stringify([await counts(knex), open])
    if (state !== last) quietSince = now
    last = state
    // Quiet for a while: a duplicate on its way would be seen in the table.
    return now > deadline || (open === 0 && now - quietSince > QUIET_SECONDS)
  })
  timeline.endProgress()
}

/** Unpaid orders, messages in the outbox table, effects not there yet, messages to be tried again. */
async function unfinished({ knex, admin }: World, outcomes: ReadonlyMap<string, Outcome>): Promise<number> {
  const is = (...wanted: Outcome[]): number => [...outcomes.values()].filter((one) => wanted.includes(one)).length
  const effects = [
    [is('paid'), 'select order_id from shipments'],
    [is('paid', 'poison'), 'select order_id from invoices'],
    [is('cancelled'), 'select order_id from cancellation_letters'],
    [2 * is('paid', 'poison', 'cancelled'), 'select order_id from journal'],
  ] as const
  let open = (
    await column(knex, "select id from orders where status = 'unpaid' union all select id::text from tandem.outbox")
  ).length
  for (const [wanted, sql] of effects) open += Math.max(0, wanted - (await column(knex, sql)).length)
  for (const group of ['stock', 'billing', 'billing-letters', 'billing-journal', 'orders-deadlines']) {
    for (const { topic, maxOffset, committedOffset } of await admin.progress(group)) {
      if (topic.startsWith('%RETRY%') && committedOffset < maxOffset) open++
    }
  }
  return open
}
