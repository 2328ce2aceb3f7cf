import { RecordView } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { recordOf } from '../../../../../test/kit/fake-broker.ts'
import { ConsumedMessage } from '../../message/consumed-message.ts'
import { ConsumeWindow } from './consume-window.ts'

const record = recordOf({ topic: 't', queueOffset: 0 })
const view = new RecordView()
view.at(record, 0)
const message = new ConsumedMessage(record, 0, view, 'b', 'g')

test('the offset to commit is the smallest unfinished one, in whatever order handlers end', () => {
  const random = ((seed: number) => () => {
    seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff
    return seed / 0x7fffffff
  })(7)
  const window = new ConsumeWindow(10)
  const open = new Map<number, ReturnType<ConsumeWindow['add']>>()
  let next = 10
  for (let step = 0; step < 5_000; step++) {
    if (random() < 0.5) {
      // Offsets may have gaps: what the filter dropped.
      next += 1 + Math.floor(random() * 3)
      open.set(next, window.add(message, next))
      window.pulledTo(next + 1)
    } else if (open.size > 0) {
      const offset = [...open.keys()][Math.floor(random() * open.size)] as number
      window.finish(open.get(offset) as ReturnType<ConsumeWindow['add']>)
      open.delete(offset)
    }
    const wanted = open.size > 0 ? Math.min(...open.keys()) : next + (next === 10 ? 0 : 1)
    expect(window.commitOffset).toBe(wanted)
    expect(window.count).toBe(open.size)
    expect(window.bytes).toBe(open.size * message.storedBytes)
  }
})

test('a message finished twice counts once', () => {
  const window = new ConsumeWindow(0)
  const delivery = window.add(message, 0)
  expect(window.finish(delivery)).toBe(true)
  expect(window.finish(delivery)).toBe(false)
  expect(window.count).toBe(0)
})
