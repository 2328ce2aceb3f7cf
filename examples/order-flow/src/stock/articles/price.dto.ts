import { z } from 'zod'

/** Body of `PUT /articles/:sku/price`. */
export const priceSchema = z.object({ cents: z.number().int().positive() })

export type PriceDto = z.infer<typeof priceSchema>
