import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const folder = new URL('../system/nonsense/', import.meta.url)

/** Numbers of the lines a text names, ascending. */
function numbersIn(text: string, pattern: RegExp): number[] {
  return [...new Set([...text.matchAll(pattern)].map(([, number]) => Number(number)))].toSorted((a, b) => a - b)
}

test('every line of the catalogue of nonsense has a test, and every test a line', () => {
  const listed = numbersIn(readFileSync(new URL('README.md', folder), 'utf8'), /^\| (\d+) +\|/gm)
  const sources = readdirSync(folder).filter((name) => name.endsWith('.test.ts'))
  const tests = sources.map((name) => readFileSync(new URL(name, folder), 'utf8')).join('\n')
  expect(numbersIn(tests, /['"`]C\.3-(\d+): /g)).toEqual(listed)
  expect(listed.slice(0, 59)).toEqual(Array.from({ length: 59 }, (_, index) => index + 1))
})
