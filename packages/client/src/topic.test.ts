import { expect, test } from 'vitest'
import { ClientError } from './client-error.ts'
import type { ConsumedMessage } from './message/consumed-message.ts'
import { RejectMessage } from './message/outcome.ts'
import { ReplyMessage } from './producer/requester.ts'
import type { SchemaResult, StandardSchema } from './standard-schema.ts'
import { issuesText } from './standard-schema.ts'
import { defineTopic, isTopic } from './topic.ts'

interface Order {
  id: string
  amount: number
}

function checkOrder(value: unknown): SchemaResult<Order & { currency: string }> {
  const { id, amount, currency } = value as Partial<Order & { currency: string }>
  const issues = []
  if (typeof id !== 'string') issues.push({ message: 'expected text', path: ['id'] })
  if (typeof amount !== 'number') issues.push({ message: 'expected a number', path: [{ key: 'amount' }] })
  return issues.length > 0 ? { issues } : { value: { id: id ?? '', amount: amount ?? 0, currency: currency ?? 'EUR' } }
}

const orderSchema: StandardSchema<Order & { currency?: string }, Order & { currency: string }> = {
  '~standard': { version: 1, vendor: 'test', validate: checkOrder },
}
const slowSchema: typeof orderSchema = {
  '~standard': { version: 1, vendor: 'test', validate: async (value) => checkOrder(value) },
}

const orders = defineTopic('orders', orderSchema)
const slowOrders = defineTopic('orders', slowSchema)
const wrong = { id: 5, amount: '5' } as unknown as Order

const consumed = (text: string) => ({ json: (): unknown => JSON.parse(text) }) as ConsumedMessage

function thrown(work: () => unknown): unknown {
  try {
    work()
  } catch (error) {
    return error
  }
  return undefined
}

test('a payload that fits becomes a message of the topic with its fields, as the sender gave it', () => {
  expect(orders.message({ id: 'o-1', amount: 5 }, { tag: 'created', keys: ['o-1'] })).toEqual({
    topic: 'orders',
    tag: 'created',
    keys: ['o-1'],
    body: '{"id":"o-1","amount":5}',
  })
})

test('a payload that does not fit is refused with a code, every issue and no message', () => {
  const error = thrown(() => orders.message(wrong))
  expect(error).toBeInstanceOf(ClientError)
  expect(error).toMatchObject({
    code: 'PAYLOAD_INVALID',
    retryable: false,
    message:
      '[PAYLOAD_INVALID] payload for orders does not fit the schema: id: expected text; amount: expected a number',
    cause: [{ message: 'expected text' }, { message: 'expected a number' }],
  })
})

test('the schema sees what the listener will read, so what JSON changes is refused by the sender', () => {
  const events = defineTopic('events', {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate: (value: unknown): SchemaResult<{ at: Date }> =>
        (value as { at: unknown }).at instanceof Date
          ? { value: value as { at: Date } }
          : { issues: [{ message: 'no Date' }] },
    },
  })
  expect(() => events.message({ at: new Date(0) })).toThrow('no Date')
})

test('a payload without a JSON form is refused', () => {
  const anything = defineTopic('anything')
  const round: { self?: unknown } = {}
  round.self = round
  for (const payload of [undefined, () => 1, 1n, round, Buffer.of(1)]) {
    expect(thrown(() => anything.message(payload))).toMatchObject({ code: 'MESSAGE_ILLEGAL' })
  }
})

test('a text goes as JSON, so that a listener reads the text and not the number it looks like', async () => {
  const names = defineTopic<string>('names')
  const { body } = names.message('123')
  expect(body).toBe('"123"')
  expect(await names.read(consumed(body as string))).toBe('123')
})

test('a schema that answers later is waited for where one can wait, and refused where not', async () => {
  expect((await slowOrders.messageLater({ id: 'o-1', amount: 5 })).topic).toBe('orders')
  await expect(slowOrders.messageLater(wrong)).rejects.toMatchObject({ code: 'PAYLOAD_INVALID' })
  expect(thrown(() => slowOrders.message(wrong))).toMatchObject({ code: 'OPTION_INVALID' })
})

test.each([orders, slowOrders])('a listener gets what the schema made of the payload', async (topic) => {
  expect(await topic.read(consumed('{"id":"o-1","amount":5}'))).toEqual({ id: 'o-1', amount: 5, currency: 'EUR' })
  const seen: unknown[] = []
  await topic.handler((order) => void seen.push(order.currency))(consumed('{"id":"o-1","amount":5}'), {
    signal: new AbortController().signal,
  })
  expect(seen).toEqual(['EUR'])
})

test.each([
  ['{"id":1}', 'id: expected text'],
  ['no json', 'not valid JSON'],
])('a consumed payload %s is rejected with its issues', async (text, reason) => {
  const error = await orders.read(consumed(text)).catch((failure: unknown) => failure)
  expect(error).toBeInstanceOf(RejectMessage)
  expect((error as Error).message).toContain(reason)
})

test('a reply is checked where it arrives', async () => {
  const level = defineTopic('stock.level', orderSchema, { reply: orderSchema })
  const reply = (text: string) => level.readReply(new ReplyMessage(Buffer.from(text), {}))
  expect(await reply('{"id":"o-1","amount":5}')).toMatchObject({ currency: 'EUR' })
  await expect(reply('{"id":"o-1"}')).rejects.toMatchObject({ code: 'PAYLOAD_INVALID' })
  await expect(reply('oh')).rejects.toMatchObject({ code: 'PAYLOAD_INVALID' })
})

test('a topic is refused where it is defined, not where it is used', () => {
  expect(thrown(() => defineTopic('no spaces'))).toMatchObject({ code: 'TOPIC_NAME_INVALID' })
  const none = { parse: () => 1 } as unknown as StandardSchema
  expect(thrown(() => defineTopic('orders', none))).toMatchObject({ code: 'OPTION_INVALID' })
})

test('a topic is told from a message and a name', () => {
  expect(isTopic(orders)).toBe(true)
  for (const other of [orders.message({ id: 'o-1', amount: 5 }), 'orders', undefined, null]) {
    expect(isTopic(other)).toBe(false)
  }
})

test('a long list of issues is cut, and says so', () => {
  const issues = Array.from({ length: 7 }, (_, at) => ({ message: 'wrong', path: ['lines', at] }))
  expect(issuesText(issues)).toBe(
    'lines.0: wrong; lines.1: wrong; lines.2: wrong; lines.3: wrong; lines.4: wrong; and 2 more',
  )
})
