import { defineTopic } from '@tandemmq/nestjs'
import { z } from 'zod'
import { orderSchema } from './order.ts'

/** What becomes of an order. The tag says what: `placed`, `paid`, `cancelled`; of one order in this order. */
export const orders = defineTopic('orders', orderSchema)

/** Comes back when the time to pay is over. */
export const paymentDeadlines = defineTopic('payment-deadlines', z.object({ orderId: z.string() }))

/** Asks stock how many of an article are on hand. */
export const stockLevels = defineTopic('stock-levels', z.object({ sku: z.string() }), {
  reply: z.object({ onHand: z.number().int() }),
})

/** A new price; every process of the shop hears it. */
export const prices = defineTopic('prices', z.object({ sku: z.string(), cents: z.number().int().positive() }))
