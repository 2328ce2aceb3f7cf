import { PropertyScan } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { SeededRandom } from '../../../test/kit/seeded-random.ts'
import { IndexedProperties } from './indexed-properties.ts'

const PARTS = [
  'TAGS',
  'KEYS',
  'UNIQ_KEY',
  'TAG',
  'KEYSX',
  'U',
  'a b',
  '\x01',
  '\x01',
  '\x01',
  '\x02',
  '\x02',
  '\x00',
  '',
]

test('finds tags, keys and the unique key exactly where PropertyScan finds them, in any bytes', () => {
  const random = new SeededRandom(7)
  const scan = new PropertyScan()
  const indexed = new IndexedProperties()
  let found = 0
  for (let round = 0; round < 20_000; round++) {
    const parts = Array.from(
      { length: 1 + Math.floor(random.next() * 24) },
      () => PARTS[Math.floor(random.next() * PARTS.length)],
    )
    const bytes = Buffer.from(`..${parts.join('')}..`)
    scan.scan(bytes, 2, bytes.length - 2)
    indexed.scan(bytes, 2, bytes.length - 2)
    for (const name of ['tags', 'keys', 'uniqKey'] as const) {
      expect(indexed[`${name}Start`], parts.join()).toBe(scan[`${name}Start`])
      if (indexed[`${name}Start`] < 0) continue
      expect(indexed[`${name}End`], parts.join()).toBe(scan[`${name}End`])
      found++
    }
  }
  expect(found).toBeGreaterThan(1_000)
})
