import type { DeadLetter } from '@tandemmq/client'
import type { Order } from '../shared/order.ts'
import { column } from './observe.ts'
import type { Story } from './story.ts'
import type { Timeline } from './timeline.ts'
import type { World } from './world.ts'

/** Shows what stock gave up, buys what was missing, and sends the messages back. */
export async function redriveDeadLetters(world: World, timeline: Timeline): Promise<Pick<Story, 'deadLetters'>> {
  const letters = await readDeadLetters(world, 'stock')
  const deadLetters = letters.map(orderOf)
  for (const letter of letters) {
    timeline.say('stock', `dead letter ${orderOf(letter)}: ${letter.reason || '(this broker keeps no reason)'}`)
  }
  const skus = await buyMissing(world, letters)
  const { redriven } = await world.admin.redrive('stock', { from: world.startedAt, unrecorded: true })
  timeline.say('stock', `has bought ${skus.join(', ')}; dead letters redriven: ${redriven}`)
  const deadline = timeline.seconds + 10
  await world.until('orders that were dead letters', 15_000, async () => {
    const shipped = await column(world.knex, 'select order_id from shipments')
    return timeline.seconds > deadline || deadLetters.every((id) => shipped.includes(id))
  })
  return { deadLetters }
}

async function readDeadLetters(world: World, group: string): Promise<DeadLetter[]> {
  const found: DeadLetter[] = []
  // A broker that serves longer than this demo may keep letters of an earlier run.
  for await (const letter of world.admin.deadLetters(group, { from: world.startedAt })) found.push(letter)
  return found
}

function orderOf({ message }: DeadLetter): string {
  return message.keys[0] ?? ''
}

async function buyMissing({ knex }: World, letters: readonly DeadLetter[]): Promise<string[]> {
  const skus = new Set(letters.flatMap(({ message }) => message.json<Order>().items.map(({ sku }) => sku)))
  if (skus.size === 0) return []
  const rows = [...skus].map((sku) => ({ sku, title: 'bought at last', on_hand: 1_000 }))
  const bought = await knex('articles').insert(rows).onConflict('sku').ignore().returning('sku')
  return bought.map(({ sku }) => sku)
}
