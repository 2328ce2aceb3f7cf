import { expect, test } from 'vitest'
import { BLOCK_ENTRIES, QueueIndex } from './queue-index.ts'

const OFFSETS = [0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 7, Number.MAX_SAFE_INTEGER]

test('a unit comes back as it was put, for every log offset there can be, in every slab', () => {
  const index = new QueueIndex()
  const blocks = Array.from({ length: 5_000 }, () => index.takeBlock())
  const unitOf = (block: number, slot: number): [number, number, number] => {
    const n = block * BLOCK_ENTRIES + slot
    return [OFFSETS[n % OFFSETS.length]!, n + 1, n % 2 === 0 ? -n : 0x7fffffff - n]
  }
  for (const block of blocks) {
    for (let slot = 0; slot < BLOCK_ENTRIES; slot++) index.put(block * BLOCK_ENTRIES + slot, ...unitOf(block, slot))
  }
  let wrong = 0
  for (const block of blocks) {
    for (let slot = 0; slot < BLOCK_ENTRIES; slot++) {
      const entry = block * BLOCK_ENTRIES + slot
      const [physicalOffset, size, tagsCode] = unitOf(block, slot)
      if (index.physicalOffset(entry) !== physicalOffset || index.size(entry) !== size) wrong++
      if (index.tagsCode(entry) !== tagsCode) wrong++
    }
  }
  expect(wrong).toBe(0)
  expect(index.bytes).toBe(3 << 20)
})

test('a block that is taken again is vacant, and its neighbours are untouched', () => {
  const index = new QueueIndex()
  const [before, block, after] = [index.takeBlock(), index.takeBlock(), index.takeBlock()]
  for (let entry = 0; entry < 3 * BLOCK_ENTRIES; entry++) index.put(entry, entry, 100, 1)
  index.freeBlock(block)
  expect(index.takeBlock()).toBe(block)
  const sizes = (of: number): number[] =>
    Array.from({ length: BLOCK_ENTRIES }, (_, slot) => index.size(of * BLOCK_ENTRIES + slot))
  expect(new Set(sizes(block))).toEqual(new Set([0]))
  expect(new Set([...sizes(before), ...sizes(after)])).toEqual(new Set([100]))
})
