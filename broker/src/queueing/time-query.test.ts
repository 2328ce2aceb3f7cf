import { emptyRecordFields, encodeRecord } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import type { ConsumeQueue } from '../store/index.ts'
import { firstAtOrAfter, lastAtOrBefore } from './time-query.ts'

/** A queue whose message at each place was stored at the given time; -1 = no message there any more. */
function queueOf(
  times: readonly number[],
  minOffset = 0,
): { queue: ConsumeQueue; read: (at: number) => Buffer | undefined } {
  const queue = {
    minOffset,
    maxOffset: minOffset + times.length,
    size: (offset: number) => (times[offset - minOffset] === -1 ? 0 : 1),
    physicalOffset: (offset: number) => offset - minOffset,
  }
  const read = (at: number): Buffer | undefined =>
    encodeRecord({ ...emptyRecordFields(), topic: Buffer.from('t'), storeTimestamp: times[at] ?? 0 })
  return { queue: queue as unknown as ConsumeQueue, read }
}

test('the first message at or after an instant is found whatever places are empty', () => {
  // Every pattern of empty places in a queue of six, every instant.
  for (let pattern = 0; pattern < 64; pattern++) {
    const times = [10, 20, 20, 30, 40, 40].map((time, at) => ((pattern >> at) & 1 ? -1 : time))
    const { queue, read } = queueOf(times, 5)
    for (const instant of [5, 10, 15, 20, 25, 30, 40, 45]) {
      const found = firstAtOrAfter(queue, instant, read)
      const expected = times.findIndex((time) => time >= instant)
      const skipped = times.slice(0, found - 5)
      expect(
        skipped.some((time) => time >= instant),
        `${times} at ${instant}: ${found}`,
      ).toBe(false)
      const before = times.slice(found - 5, expected < 0 ? times.length : expected)
      expect(
        before.every((time) => time === -1),
        `${times} at ${instant}: ${found}`,
      ).toBe(true)
    }
  }
})

test('the last message at or before an instant is found, the beginning when all are newer', () => {
  const { queue, read } = queueOf([10, 20, 20, 30], 100)
  expect([9, 10, 19, 20, 29, 30, 99].map((instant) => lastAtOrBefore(queue, instant, read))).toEqual([
    100, 100, 100, 102, 102, 103, 103,
  ])
})
