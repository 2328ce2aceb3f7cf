import { expect, test } from 'vitest'
import { SeededRandom } from '../../test/kit/seeded-random.ts'
import { SortedOffsets } from './sorted-offsets.ts'

test('it knows what a Set would know, in any order of additions and removals', () => {
  const random = new SeededRandom(7)
  const set = new SortedOffsets()
  const model = new Set<number>()
  for (let n = 0; n < 5_000; n++) {
    const offset = Math.floor(random.next() * 700) * 100
    if (random.next() < 0.7) {
      set.add(offset)
      model.add(offset)
    } else {
      set.delete(offset)
      model.delete(offset)
    }
    expect(set.has(offset)).toBe(model.has(offset))
  }
  set.deleteBefore(30_000)
  const left = [...model].filter((one) => one >= 30_000).toSorted((a, b) => a - b)
  expect([...set.toArray()]).toEqual(left)
  expect([...SortedOffsets.of(set.toArray()).toArray()]).toEqual(left)
  expect(set.size).toBe(left.length)
})
