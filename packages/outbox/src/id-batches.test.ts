import { VirtualClock } from '@tandemmq/remoting/simulation'
import { beforeEach, expect, test } from 'vitest'
import { IdBatches } from './id-batches.ts'

let clock: VirtualClock
let taken: number[]
let batches: IdBatches
/** Ends the batch that is being taken. */
let done: () => void

beforeEach(() => {
  clock = new VirtualClock({ seed: 1 })
  taken = []
  batches = new IdBatches(clock, (ids) => {
    taken.push(ids.length)
    return new Promise((resolve) => (done = resolve))
  })
})

const add = (count: number): void => {
  for (let n = 0; n < count; n++) batches.add(`id-${n}`)
}

test('ids are handed on after 200 ms, or at once when there are a thousand', async () => {
  add(3)
  await clock.advance(199)
  expect(taken).toEqual([])
  await clock.advance(1)
  expect(taken).toEqual([3])
  done()
  add(1_000)
  await clock.advance(0)
  expect(taken).toEqual([3, 1_000])
})

test('one batch waits for the one before it, and ids are pending until theirs is done', async () => {
  add(2)
  void batches.flush()
  add(5)
  const flushed = batches.flush()
  await clock.advance(1_000)
  expect([taken, batches.pending]).toEqual([[2], 7])
  done()
  await clock.advance(0)
  expect([taken, batches.pending]).toEqual([[2, 5], 5])
  done()
  await flushed
  expect(batches.pending).toBe(0)
})
