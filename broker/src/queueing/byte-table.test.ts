import { expect, test } from 'vitest'
import { ByteTable } from './byte-table.ts'

const inside = (name: string): [Buffer, number, number] => {
  const bytes = Buffer.from(`<<${name}>>`)
  return [bytes, 2, bytes.length - 2]
}

test('every name is found in the middle of other bytes, also after the table grew and names were removed', () => {
  const table = new ByteTable<string>()
  const names = Array.from({ length: 500 }, (_, n) => `topic-${n}`)
  for (const name of names) table.set(Buffer.from(name), name)
  table.delete(Buffer.from('topic-7'))
  for (const name of names) expect(table.find(...inside(name))).toBe(name === 'topic-7' ? undefined : name)
  expect(table.size).toBe(499)
})

test('a prefix or an extension of a known name is unknown', () => {
  const table = new ByteTable<number>()
  table.set(Buffer.from('orders'), 1)
  expect(table.find(...inside('order'))).toBeUndefined()
  expect(table.find(...inside('orders2'))).toBeUndefined()
})

test('names with the same hash are told apart', () => {
  const table = new ByteTable<string>()
  // Known 32-bit FNV-1a collisions, of equal and of different length.
  const names = ['declinate', 'macallums', 'costarring', 'liquid']
  table.set(Buffer.from('declinate'), 'declinate')
  table.set(Buffer.from('liquid'), 'liquid')
  expect(names.map((name) => table.find(...inside(name)))).toEqual(['declinate', undefined, undefined, 'liquid'])
  table.set(Buffer.from('macallums'), 'macallums')
  expect([table.size, table.find(...inside('macallums')), table.find(...inside('declinate'))]).toEqual([
    3,
    'macallums',
    'declinate',
  ])
})

test('setting a name again replaces its value and counts it once', () => {
  const table = new ByteTable<number>()
  table.set(Buffer.from('orders'), 1)
  table.set(Buffer.from('orders'), 2)
  expect([table.find(...inside('orders')), table.size]).toEqual([2, 1])
})
