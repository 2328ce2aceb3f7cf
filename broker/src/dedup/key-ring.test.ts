import { expect, test } from 'vitest'
import { VirtualClock } from '@tandemmq/remoting/simulation'
import { SnapshotReader, SnapshotWriter } from '../snapshot.ts'
import { KeyRing } from './key-ring.ts'

/** All places of a fingerprint, newest first. */
function placesOf(ring: KeyRing, low: number, high: number): number[] {
  const found: number[] = []
  for (let at = ring.first(low, high); at >= 0; at = ring.next()) found.push(at)
  return found
}

/** The same, kept plainly. */
class Model {
  entries: { low: number; high: number; at: number }[] = []

  placesOf(low: number, high: number): number[] {
    return this.entries
      .filter((one) => one.low === low && one.high === high)
      .map(({ at }) => at)
      .toReversed()
  }
}

test.each([1, 2, 3, 4, 5, 6])('entries are found after any growing, leaving and restarting, seed %i', (seed) => {
  const clock = new VirtualClock({ seed })
  const number = (below: number): number => Math.floor(clock.random() * below)
  const entriesMax = [16, 400, 5_000, 100_000][number(4)] as number
  // Numbers that are about to go round.
  const firstNumber = 2 ** 32 - number(20_000)
  let ring = new KeyRing(600_000, entriesMax, firstNumber)
  const model = new Model()
  // Few different ones, so that chains are long; offsets beyond 32 bits.
  const kinds = 1 + number(3_000)
  const fingerprint = (): [number, number] => {
    const n = number(kinds)
    return [Math.imul(n, 0x9e3779b1) | 0, n % 3]
  }
  let at = 2 ** 33
  for (let n = 0; n < 30_000; n++) {
    const [low, high] = fingerprint()
    at += 1 + number(1_000)
    ring.add(low, high, at, Math.floor(n / 20))
    model.entries.push({ low, high, at })
    const sizeMax = n % 5_000 === 4_999 ? entriesMax / 4 : entriesMax
    for (let over = ring.size - sizeMax; over > 0; over = ring.size - sizeMax) {
      model.entries.splice(0, ring.dropOldest())
    }
    if (n % 9_000 === 8_999) {
      const writer = new SnapshotWriter()
      const before = n < 15_000 ? at + 1 : at - 2_000
      ring.save(writer, before)
      const reader = new SnapshotReader(Buffer.concat(writer.finish()))
      ring = new KeyRing(reader.number(), entriesMax, firstNumber)
      ring.load(reader, 0, 0)
      model.entries = model.entries.filter((one) => one.at < before)
    }
    expect(ring.size).toBe(model.entries.length)
    if (n % 7 === 0) {
      const [wantedLow, wantedHigh] = fingerprint()
      expect(placesOf(ring, wantedLow, wantedHigh)).toEqual(model.placesOf(wantedLow, wantedHigh))
    }
  }
})

test('what is saved stays as it was while the ring goes on', () => {
  const ring = new KeyRing(600_000, 1_000_000)
  for (let n = 0; n < 1_500; n++) ring.add(n, 0, n * 10, 0)
  const writer = new SnapshotWriter()
  ring.save(writer, 15_000)
  const parts = writer.finish()
  const before = Buffer.concat(parts)
  for (let n = 1_500; n < 200_000; n++) ring.add(n, 0, n * 10, 0)
  expect(Buffer.concat(parts).equals(before)).toBe(true)
})

test('a ring that was full once does not keep a table for it', () => {
  const ring = new KeyRing(600_000, 1 << 20)
  for (let n = 0; n < 500_000; n++) ring.add(Math.imul(n, 0x9e3779b1), 0, n, 0)
  const full = ring.bytes
  for (let n = 0; n < 1_000; n++) ring.add(Math.imul(n, 0x9e3779b1), 1, 500_000 + n, 1_000)
  ring.expire(1_001)
  expect(ring.size).toBe(1_000)
  expect(ring.bytes).toBeLessThan(full / 20)
  expect(placesOf(ring, 0, 1)).toEqual([500_000])
})
