import type { Knex } from 'knex'
import type { Timeline } from './timeline.ts'
import type { World } from './world.ts'

/** Orders somebody has decided about, and who heard of them. */
export interface Counts {
  handled: number
  shipped: number
  billed: number
}

export async function counts(knex: Knex): Promise<Counts> {
  const { rows } = await knex.raw(`select
    (select count(*) from orders) + (select count(*) from rejected_orders) as handled,
    (select count(*) from shipments) as shipped, (select count(*) from invoices) as billed`)
  const [row] = rows as Record<keyof Counts, string>[]
  return { handled: Number(row?.handled), shipped: Number(row?.shipped), billed: Number(row?.billed) }
}

/** One column of text, in order, duplicates included. */
export async function column(knex: Knex, sql: string): Promise<string[]> {
  const { rows } = await knex.raw(`select value from (${sql}) as found(value) order by value`)
  return (rows as { value: string }[]).map(({ value }) => value)
}

/** Paid, and nobody has been told. */
export function unannounced(knex: Knex): Promise<string[]> {
  return column(
    knex,
    `select id from orders o where status = 'paid'
     and not exists (select from invoices i where i.order_id = o.id)
     and not exists (select from shipments s where s.order_id = o.id)`,
  )
}

/** As {@link World.until}, and moves the progress bar meanwhile. */
export function whileOrdersCome<T>(
  world: World,
  timeline: Timeline,
  orders: number,
  { what, timeoutMs }: { what: string; timeoutMs: number },
  look: () => Promise<T | undefined | false>,
): Promise<T> {
  return world.until(what, timeoutMs, async () => {
    const { handled, shipped, billed } = await counts(world.knex)
    timeline.progress(handled, orders, `${shipped} shipped, ${billed} billed`)
    return look()
  })
}
