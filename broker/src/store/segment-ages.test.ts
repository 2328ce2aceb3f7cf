import { VirtualClock } from '@tandemmq/remoting/simulation'
import { expect, test } from 'vitest'
import { SegmentAges } from './segment-ages.ts'
import type { Segment, Segments } from './segments.ts'
import type { StateJournal } from './state-journal.ts'
import { type StoreEntry, StoreState } from './store-state.ts'

const START = 1_700_000_000_000
const HOUR = 3_600_000
const LIMIT = 72 * HOUR

/** Segments of 100 bytes, by the time of their last record; the last one is not complete. */
function segmentsOf(...lastTimestamps: number[]): Segments {
  const list = lastTimestamps.map((lastTimestamp, n) => ({ start: n * 100, lastTimestamp }) as Segment)
  return { list } as unknown as Segments
}

function setUp(lastTimestamps: number[], state = new StoreState()) {
  const clock = new VirtualClock({ seed: 1, startAt: START })
  const entries: StoreEntry[] = []
  const journal = { append: (_table: string, entry: StoreEntry) => entries.push(entry) } as unknown as StateJournal
  const segments = segmentsOf(...lastTimestamps)
  const ages = new SegmentAges(
    { segments, state, journal },
    { clock, newest: lastTimestamps.at(-1) ?? 0, limitMs: LIMIT },
  )
  const ageOf = (n: number): number => ages.look() - ages.completeAt(segments.list[n] as Segment)
  return { clock, entries, ages, segments, state, ageOf }
}

const kinds = (entries: readonly StoreEntry[]): string[] => entries.map(({ kind }) => kind)

test('in a directory without a mark complete segments are as old as their stamps say, the last one is not complete', () => {
  const { entries, ages, segments, state, ageOf } = setUp([START - 10 * HOUR, START - 2 * HOUR, START - HOUR])
  expect(entries).toEqual([
    { kind: 'complete', start: 0, at: START - 10 * HOUR },
    { kind: 'complete', start: 100, at: START - 2 * HOUR },
    { kind: 'age', at: START, wall: START },
  ])
  expect([ageOf(0), ageOf(1)]).toEqual([10 * HOUR, 2 * HOUR])
  expect(state.mark).toEqual({ at: START, wall: START })
  // As old as the last look, which is what a look that finds it complete will say at most.
  expect(ages.completeAt(segments.list[2] as Segment)).toBe(START)
})

test('a stamp of the future makes a segment no younger than now, and one that would be too old doubts the clock', () => {
  const { ageOf } = setUp([START + 5 * HOUR, START, START])
  expect([ageOf(0), ageOf(1)]).toEqual([0, 0])
  const long = setUp([START - 200 * HOUR, START - 100 * HOUR, START - 100 * HOUR])
  expect([long.ageOf(0), long.ageOf(1)]).toEqual([100 * HOUR, 0])
})

test('with a mark the stamps are not asked: a segment nobody knows to be complete became so since the mark', () => {
  const state = new StoreState()
  state.apply({ kind: 'complete', start: 0, at: START - 40 * HOUR })
  state.apply({ kind: 'age', at: START - HOUR, wall: START - HOUR })
  const { entries, ageOf } = setUp([START - 50 * HOUR, START - 30 * HOUR, START], state)
  expect(entries).toEqual([])
  expect([ageOf(0), ageOf(1)]).toEqual([40 * HOUR, HOUR])
})

test('what becomes complete is noted once, no older than the last look; each look leaves a mark', async () => {
  const { clock, entries, ages, segments } = setUp([START])
  entries.length = 0
  await clock.advance(HOUR)
  segments.list.push({ start: 100, lastTimestamp: START - HOUR } as Segment)
  ages.look()
  expect(entries).toEqual([
    { kind: 'complete', start: 0, at: START },
    { kind: 'age', at: START + HOUR, wall: START + HOUR },
  ])
  ages.look()
  expect(kinds(entries)).toEqual(['complete', 'age', 'age'])
})

test('the mark keeps the latest the wall clock ever showed', async () => {
  const { clock, ages, state } = setUp([START])
  clock.jumpWall(5 * HOUR)
  await clock.advance(HOUR)
  ages.look()
  clock.jumpWall(-9 * HOUR)
  await clock.advance(HOUR)
  ages.look()
  expect(state.mark).toEqual({ at: START + 2 * HOUR, wall: START + 6 * HOUR })
})
