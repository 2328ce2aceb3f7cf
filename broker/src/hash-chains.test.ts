import { expect, test } from 'vitest'
import { chance } from './log-test-kit.ts'
import { HashChains } from './hash-chains.ts'
import { TimeHeap } from './time-heap.ts'

function entriesOf(table: HashChains, hash: number): number[] {
  const found: number[] = []
  for (let entry = table.first(hash); entry >= 0; entry = table.next()) found.push(entry)
  return found.toSorted((a, b) => a - b)
}

test('a table under churn, with hashes that crowd together, holds exactly what was added and not removed', () => {
  const pick = chance(3)
  const table = new HashChains()
  const model = new Map<number, number>()
  for (let step = 0; step < 50_000; step++) {
    const entry = pick(700)
    const known = model.get(entry)
    if (known === undefined) {
      // Few different hashes, near the end of the table too, so that runs wrap around and overlap.
      const hash = (pick(2) === 0 ? pick(40) : -1 - pick(40)) | 0
      table.add(hash, entry)
      model.set(entry, hash)
    } else {
      expect(table.hashOf(entry)).toBe(known)
      table.remove(entry)
      model.delete(entry)
    }
    if (step % 1_000 === 0) {
      expect(table.size).toBe(model.size)
      for (const hash of new Set(model.values())) {
        const wanted = [...model].filter(([, own]) => own === hash).map(([own]) => own)
        expect(entriesOf(table, hash)).toEqual(wanted.toSorted((a, b) => a - b))
      }
    }
  }
  table.clear()
  expect([table.size, entriesOf(table, 1)]).toEqual([0, []])
})

test('a hash shared by a hundred thousand entries slows neither adding nor removing', () => {
  const table = new HashChains()
  let seen = 0
  for (let entry = 0; entry < 100_000; entry++) table.add(7, entry)
  for (let entry = table.first(7); entry >= 0; entry = table.next()) seen++
  expect(seen).toBe(100_000)
  // Ten milliseconds by chains; searching among equals would take minutes.
  for (let entry = 0; entry < 100_000; entry++) table.remove(entry)
  expect(table.size).toBe(0)
})

test('a heap gives its values in order of time, however they came and whoever left', () => {
  const pick = chance(9)
  const heap = new TimeHeap()
  const times = new Map<number, number>()
  for (let value = 0; value < 5_000; value++) {
    const time = pick(1_000) + 1_700_000_000_000.5
    times.set(value, time)
    heap.push(time, value)
  }
  for (let n = 0; n < 1_000; n++) times.delete(heap.pop())
  heap.retain((value) => value % 3 !== 0)
  for (const value of times.keys()) if (value % 3 === 0) times.delete(value)
  let last = 0
  while (heap.size > 0) {
    const time = heap.nextTime
    const value = heap.nextValue
    expect(heap.pop()).toBe(value)
    expect(time).toBe(times.get(value))
    expect(time).toBeGreaterThanOrEqual(last)
    last = time
    times.delete(value)
  }
  expect(times.size).toBe(0)
  expect([heap.pop(), heap.nextTime]).toEqual([-1, Number.POSITIVE_INFINITY])
})
