import { z } from 'zod'

export const orderItemSchema = z.object({ sku: z.string().min(1), quantity: z.number().int().positive() })

/** An order as it is placed and as the services tell each other. */
export const orderSchema = z.object({
  id: z.string().min(1),
  customer: z.string().min(1),
  items: z.array(orderItemSchema).min(1),
  /** Euro with two decimals, as text: Postgres' `numeric` reads it, or refuses it. */
  amount: z.string(),
  /** `card` is paid at once, `transfer` when the money arrives. */
  payment: z.enum(['card', 'transfer']),
})

export type Order = z.infer<typeof orderSchema>
export type OrderItem = z.infer<typeof orderItemSchema>
