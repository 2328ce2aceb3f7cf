import { expect, test } from 'vitest'
import { systemClock } from '../foundation.ts'
import { silentLogger } from '../silent-logger.ts'
import type { EndOutcome, HalfEnd, HalfSender } from './half-sender.ts'
import { Settler } from './settler.ts'

/** A broker that answers when told to. */
function setUp() {
  const calls: { count: number; answer(): void }[] = []
  const turns: (() => void)[] = []
  const settled: string[] = []
  const endMany = (halves: readonly HalfEnd[]): Promise<EndOutcome[]> =>
    new Promise((resolve) =>
      calls.push({ count: halves.length, answer: () => resolve(halves.map((): EndOutcome => 'committed')) }),
    )
  const settler = new Settler({
    sender: { endMany } as unknown as HalfSender,
    clock: { ...systemClock, soon: (callback) => void turns.push(callback) },
    logger: silentLogger,
    onAnomaly: (text) => settled.push(text),
  })
  const add = (id: string): void => settler.add(id, [{ opaque: id }], 'commit', () => settled.push(id))
  const turn = (): void => turns.splice(0).forEach((callback) => callback())
  return { settler, calls, settled, add, turn }
}

const counts = (calls: { count: number }[]): number[] => calls.map(({ count }) => count)

test('ENDs of one turn share a call, and those of the next turn do not wait for its answer', async () => {
  const { calls, settled, add, turn } = setUp()
  add('a')
  add('b')
  turn()
  add('c')
  turn()
  expect(counts(calls)).toEqual([2, 1])
  calls[1]?.answer()
  await expect.poll(() => settled).toEqual(['c'])
})

test('beyond four calls ENDs wait and then leave together, and close waits for all of them', async () => {
  const { settler, calls, settled, add, turn } = setUp()
  for (const id of ['a', 'b', 'c', 'd', 'e', 'f']) {
    add(id)
    turn()
  }
  expect(counts(calls)).toEqual([1, 1, 1, 1])
  let isClosed = false
  const closing = settler.close().then(() => (isClosed = true))
  calls[2]?.answer()
  await expect.poll(() => settled).toEqual(['c'])
  turn()
  expect(counts(calls)).toEqual([1, 1, 1, 1, 2])
  for (const n of [0, 1, 3]) calls[n]?.answer()
  await expect.poll(() => settled.length).toBe(4)
  expect(isClosed).toBe(false)
  calls[4]?.answer()
  await closing
  expect([settled.length, settler.pending]).toEqual([6, 0])
})
