import { type } from 'arktype'
import * as v from 'valibot'
import { expect, test } from 'vitest'
import { z } from 'zod'
import type { ConsumedMessage } from './message/consumed-message.ts'
import { defineTopic } from './topic.ts'

const byZod = defineTopic(
  'orders',
  z.object({ id: z.string(), amount: z.number(), currency: z.string().default('EUR') }),
)
const byValibot = defineTopic(
  'orders',
  v.object({ id: v.string(), amount: v.number(), currency: v.optional(v.string(), 'EUR') }),
)
const byArktype = defineTopic('orders', type({ id: 'string', amount: 'number', currency: "string = 'EUR'" }))

test.each([
  ['zod', byZod],
  ['valibot', byValibot],
  ['arktype', byArktype],
])('a schema of %s gives types, defaults and issues', async (_, topic) => {
  const { body } = topic.message({ id: 'o-1', amount: 5 })
  const order = await topic.read({ json: (): unknown => JSON.parse(body as string) } as ConsumedMessage)
  const { currency }: { currency: string } = order
  expect(currency).toBe('EUR')
  // @ts-expect-error the amount is a number
  expect(() => topic.message({ id: 'o-1', amount: 'five' })).toThrow(/PAYLOAD_INVALID.*amount: /)
})
