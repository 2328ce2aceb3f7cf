import { encodeCommand, HeaderView, UniqueIdGenerator } from '@tandemmq/protocol'
import { VirtualClock } from '@tandemmq/remoting/simulation'
import { expect, test } from 'vitest'
import { MessageProperties } from './message-properties.ts'

function taken(properties: string): number {
  const uniqueIds = new UniqueIdGenerator(Buffer.from([127, 0, 0, 1]), 1, 1)
  const block = new MessageProperties({ clusterName: 'c', uniqueIds, clock: new VirtualClock({ seed: 1 }) })
  const frame = encodeCommand({ code: 310, extFields: { i: properties } })
  const header = new HeaderView()
  header.scan(frame, 4, frame.length)
  block.fromHeader(header, header.letter('i'.charCodeAt(0)))
  return block.end
}

/** As many separators as fit: each takes six bytes in a JSON header. */
const small = (bytes: number): string => {
  const start = `UNIQ_KEY\u0001${'k'.repeat(4 + (bytes % 4))}\u0002`
  return start + 'a\u0001b\u0002'.repeat((bytes - start.length) / 4)
}

test('a block of the largest size is taken, however long its spelling in the header', () => {
  expect(small(32_766)).toHaveLength(32_764)
  expect(taken(small(32_766))).toBe(32_764)
  expect(taken(`UNIQ_KEY\u0001k\u0002a\u0001${'x'.repeat(32_752)}\u0002`)).toBe(32_766)
  expect(taken(`UNIQ_KEY\u0001k\u0002a\u0001${'x'.repeat(32_753)}\u0002`)).toBe(32_767)
})

test('a block above it is refused as MESSAGE_ILLEGAL', () => {
  const refusal = expect.objectContaining({ code: 'MESSAGE_ILLEGAL' })
  expect(() => taken(`UNIQ_KEY\u0001k\u0002a\u0001${'x'.repeat(32_754)}\u0002`)).toThrow(refusal)
  expect(() => taken('\u0001'.repeat(40_000))).toThrow(refusal)
  // The separator that ends the block counts.
  expect(() => taken(`UNIQ_KEY\u0001k\u0002a\u0001${'x'.repeat(32_754)}`)).toThrow(refusal)
})
