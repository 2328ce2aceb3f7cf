import { expect, test } from 'vitest'
import { outcomeOfError, outcomeOfTag } from './commit-outcome.ts'

test('only tag COMMIT, without a warning and in the transaction of the marker, is a commit', () => {
  expect(outcomeOfTag('COMMIT', [], true)).toBe('committed')
  expect(outcomeOfTag('COMMIT', ['00000'], true)).toBe('committed')
  expect(outcomeOfTag('ROLLBACK', [], true)).toBe('rolledBack')
  for (const code of ['01000', '57P01', '25P01']) expect(outcomeOfTag('COMMIT', [code], true)).toBe('inDoubt')
  expect(outcomeOfTag('COMMIT', [], false)).toBe('inDoubt')
  for (const tag of ['', 'SELECT']) expect(outcomeOfTag(tag, [], true)).toBe('inDoubt')
})

test('an error of Postgres before the commit record is a rollback, anything else is asked after', () => {
  for (const code of ['40001', '40P01', '23503', '25P02', '42P01', 'P0001'])
    expect(outcomeOfError(Object.assign(new Error('x'), { code }))).toBe('rolledBack')
  for (const code of ['40003', '25P03', '25P04', '57P01', '08006', 'ECONNRESET', undefined])
    expect(outcomeOfError(Object.assign(new Error('x'), { code }))).toBe('inDoubt')
})
