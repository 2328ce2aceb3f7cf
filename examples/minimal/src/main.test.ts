import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

test('the program invoices the order that was committed, and not the one that was rolled back', {
  timeout: 60_000,
}, () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [file('../dist/main.js')], {
    encoding: 'utf8',
    timeout: 50_000,
  })
  expect(stderr).toBe('')
  const lines = stdout.trim().split('\n').toSorted()
  expect(lines).toEqual(['invoice for o-1', expect.stringMatching(/^refused, .* duplicate key/)])
  expect(status).toBe(0)
})

test('it is one file of less than sixty lines', () => {
  expect(readFileSync(file('main.ts'), 'utf8').trimEnd().split('\n').length).toBeLessThan(60)
})
