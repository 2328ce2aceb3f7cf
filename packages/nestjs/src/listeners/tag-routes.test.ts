import type { ConsumedMessage, HandlerContext } from '@tandemmq/client'
import { expect, test } from 'vitest'
import { routedByTag } from './tag-routes.ts'

const message = (tag: string) => ({ tag, topic: 'orders' }) as ConsumedMessage
const delivery = {} as HandlerContext

test('a message goes to the handler of its tag, else to the one without tags', () => {
  const called: string[] = []
  const handler = routedByTag([
    { tags: ['created', 'paid'], handler: () => void called.push('by tag') },
    { tags: undefined, handler: () => void called.push('other') },
  ])
  void handler(message('paid'), delivery)
  void handler(message('expired'), delivery)
  expect(called).toEqual(['by tag', 'other'])
})

test('a retry whose tag has no handler any more fails, so that it comes again and at last is a dead letter', () => {
  const handler = routedByTag([{ tags: ['created'], handler: () => undefined }])
  expect(() => handler(message('cancelled'), delivery)).toThrow(
    expect.objectContaining({ code: 'SUBSCRIPTION_NOT_EXIST', message: expect.stringContaining('cancelled') }),
  )
})
