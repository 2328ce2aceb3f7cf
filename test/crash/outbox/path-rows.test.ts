import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { pathRows } from './path-rows.ts'

const root = fileURLToPath(new URL('../../../', import.meta.url))

test('every row of docs/spec/outbox.md 6.2 has a test that exists, or says what is open', () => {
  const [, section = ''] = readFileSync(`${root}docs/spec/outbox.md`, 'utf8').split('### 6.2 ')
  const table = section.split('\n\n').find((part) => part.startsWith('| Point')) ?? ''
  const ids = [...table.matchAll(/^\| ([A-Z]\d)/gm)].map(([, id]) => id)
  expect(ids.length).toBeGreaterThan(20)
  expect(pathRows.map(({ id }) => id).toSorted()).toEqual(ids.toSorted())
  const missing = pathRows.flatMap(({ tests }) =>
    tests.filter(([file, name]) => !readFileSync(`${root}${file}`, 'utf8').includes(name)),
  )
  expect(missing).toEqual([])
  for (const { id, tests, open } of pathRows) expect(tests.length > 0 || open !== undefined, id).toBe(true)
})
