import type { z } from 'zod'
import { orderSchema } from '../../shared/order.ts'

/** Body of `POST /orders`: an order without its amount, which the price list says. The shop gives the id, so a repeat is a 409. */
export const checkoutSchema = orderSchema.omit({ amount: true })

export type CheckoutDto = z.infer<typeof checkoutSchema>
