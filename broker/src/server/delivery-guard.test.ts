import { encodeCommand, HeaderView } from '@tandemmq/protocol'
import type { Connection } from '@tandemmq/remoting'
import { expect, test } from 'vitest'
import { Measurements } from '../measurements.ts'
import { guarded } from './delivery-guard.ts'

const HIGH = 1_000
const header = new HeaderView()
const frame = encodeCommand({ code: 11, opaque: 5 })
header.scan(frame, 4, frame.length)

function asked(waitingOfAll: number, waitingOfOwn: number, relieved = waitingOfAll) {
  const measured = new Measurements()
  const replies: unknown[] = []
  let served = 0
  const reply = (_request: unknown, answer: unknown): void => void replies.push(answer)
  const connection = { pendingBytes: waitingOfOwn, reply } as unknown as Connection
  let waiting = waitingOfAll
  const relieve = (bytesMax: number): void => {
    expect(bytesMax).toBe(2 * HIGH)
    waiting = relieved
  }
  const options = { measured, outputBytes: () => waiting, outputBytesHigh: HIGH, relieve }
  guarded(() => void served++, options)(connection, header)
  return { served, replies, refused: measured.refused.get('SYSTEM_BUSY') ?? 0 }
}

test.each([
  ['nobody has answers waiting', 0, 0, true],
  ['all together are at the limit, and so is this one', HIGH, HIGH, true],
  ['they are above, but not this one', HIGH + 1, 0, true],
  ['they are above, and this one has some', HIGH + 1, 1, false],
  ['they are at twice the limit, but not this one', 2 * HIGH, 0, true],
  ['they are above twice the limit', 2 * HIGH + 1, 0, false],
])('a pull while %s is served or told when to come back', (_name, all, own, isServed) => {
  const { served, replies, refused } = asked(all, own)
  expect([served, replies.length, refused]).toEqual(isServed ? [1, 0, 0] : [0, 1, 1])
  if (!isServed) expect(replies[0]).toMatchObject({ code: 215, extFields: { retryAfterMs: 100 } })
})

test('who takes its answers is served as soon as closing those who do not makes room', () => {
  expect(asked(3 * HIGH, 0, 2 * HIGH)).toMatchObject({ served: 1, replies: [] })
  expect(asked(3 * HIGH, 0, 2 * HIGH + 1)).toMatchObject({ served: 0, refused: 1 })
  expect(asked(3 * HIGH, 1, 0)).toMatchObject({ served: 0, refused: 1 })
})
