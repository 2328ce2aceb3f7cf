import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { type ErrorCode, errorTable, ProtocolError, TandemError } from './errors.ts'

test('ERRORS.md lists exactly the codes of errorTable, each with its remote code and whether a retry makes sense', () => {
  const page = readFileSync(new URL('../ERRORS.md', import.meta.url), 'utf8')
  const rows = [...page.matchAll(/^\| `([A-Z_]+)` +\| ([0-9]+|–) +\| (yes|no) +\| (.+?) +\|$/gm)]
  expect(rows.map(([, code]) => code)).toEqual(Object.keys(errorTable))
  for (const [, code, remote, retry, meaning] of rows) {
    const entry = errorTable[code as ErrorCode]
    expect([code, remote, retry]).toEqual([code, String(entry.remote ?? '–'), entry.retryable ? 'yes' : 'no'])
    expect(meaning?.length).toBeGreaterThan(15)
  }
})

test('an error shows its code, keeps its cause and takes retryable from the table unless told otherwise', () => {
  const cause = new Error('underneath')
  const error = new ProtocolError('FIELD_MISSING', 'no topic', { cause })
  expect(error).toBeInstanceOf(TandemError)
  expect([error.name, error.message, error.code, error.cause, error.retryable]).toEqual([
    'ProtocolError',
    '[FIELD_MISSING] no topic',
    'FIELD_MISSING',
    cause,
    false,
  ])
  expect(new TandemError('SYSTEM_BUSY', 'x').retryable).toBe(true)
  expect(new TandemError('SYSTEM_BUSY', 'x', { retryable: false }).retryable).toBe(false)
})
