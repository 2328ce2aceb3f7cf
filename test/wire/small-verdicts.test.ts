import { expect, test } from 'vitest'
import { parseRecallHandle, recallHandle } from '../../broker/src/delay/recall-handle.ts'
import { tagFilter, tagsOf } from '../../broker/src/queueing/subscription.ts'
import { subscriptionData } from '../../packages/client/src/cluster/heartbeat.ts'
import { goldenHashes } from './golden.ts'

interface Subscription {
  expression: string | null
  result: { tags: string[]; codes: number[] } | { error: string }
}

test('tag expressions are taken apart as the Java classes do, by the broker and by the SDK', () => {
  for (const { expression, result } of goldenHashes<Subscription>('subscription')) {
    const text = expression ?? ''
    if ('error' in result) {
      expect(() => tagFilter(text), text).toThrow(/SUBSCRIPTION_INVALID/)
      continue
    }
    expect([...new Set(tagsOf(text))], text).toEqual(result.tags)
    const filter = tagFilter(text)
    expect(
      result.codes.every((code) => filter.matches(code)),
      text,
    ).toBe(true)
    expect(filter.matches(1_234_567), text).toBe(result.codes.length === 0)
    if (result.tags.length === 0) continue
    const { tagsSet, codeSet } = subscriptionData('t', { tags: result.tags }, 1)
    expect({ tags: tagsSet, codes: codeSet }, text).toEqual({ tags: result.tags, codes: result.codes })
  }
})

test('recall handles are those of the Java classes, both ways, and what they refuse is refused', () => {
  interface Handle {
    topic: string
    broker: string
    timestamp: string
    id: string
    handle: string
  }
  for (const { topic, broker, timestamp, id, handle } of goldenHashes<Handle>('recallHandle')) {
    expect(recallHandle(topic, broker, Number(timestamp), id)).toBe(handle)
    expect(parseRecallHandle(handle)).toEqual({
      topic,
      brokerName: broker,
      deliverAt: Number(timestamp),
      uniqueKey: id,
    })
  }
  for (const { handle } of goldenHashes<{ handle: string }>('recallHandleDecode')) {
    expect(parseRecallHandle(handle), handle).toBeUndefined()
  }
})
