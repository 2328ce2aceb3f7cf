import { z } from 'zod'

/** What the services read from their environment, checked when they start. */
export const settingsSchema = z.object({
  PORT: z.coerce.number().int(),
  DATABASE_URL: z.url(),
  NAME_SERVERS: z.string().min(1),
  /** How long a transfer may take before the order is cancelled. A shop would say days. */
  PAYMENT_TIME_MS: z.coerce.number().int().default(3_000),
  /** Orders to import when the service starts. */
  ORDERS_FILE: z.string().optional(),
  ORDERS_MAX: z.coerce.number().int().default(1_000_000),
  ORDERS_PER_SECOND: z.coerce.number().default(40),
})

/** For `ConfigService<Settings, true>`: `config.get('PORT', { infer: true })` is a number. */
export type Settings = z.infer<typeof settingsSchema>
