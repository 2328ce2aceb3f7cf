import { expect, test } from 'vitest'
import { InFlight } from './in-flight.ts'

test('members leave in any order, are listed while they are in, and the last one to leave is reported', () => {
  let emptied = 0
  const inFlight = new InFlight<{ place: number; name: string }>(() => emptied++)
  const members = ['a', 'b', 'c', 'd'].map((name) => ({ place: -1, name }))
  const names = () =>
    inFlight
      .all()
      .map(({ name }) => name)
      .toSorted()
  for (const member of members) inFlight.add(member)
  inFlight.delete(members[1]!)
  expect(names()).toEqual(['a', 'c', 'd'])
  inFlight.delete(members[3]!)
  inFlight.delete(members[0]!)
  expect([names(), inFlight.size, emptied]).toEqual([['c'], 1, 0])
  inFlight.delete(members[2]!)
  expect([names(), inFlight.size, emptied]).toEqual([[], 0, 1])
})
