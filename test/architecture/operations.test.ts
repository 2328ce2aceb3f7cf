import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { metricFamilies } from '../../broker/src/metrics/index.ts'
import { repositoryRoot } from './source-files.ts'

const text = readFileSync(join(repositoryRoot, 'docs/operations.md'), 'utf8')

interface Row {
  name: string
  kind: string
  help: string
}

function rowsOf(page: string): Row[] {
  const rows = page.matchAll(/^\| `(tandemmq_\w+)` \| ([^|]*) \| ([^|]*) \| [^|]*\|$/gm)
  return [...rows].map(([, name = '', kind = '', help = '']) => ({ name, kind, help }))
}

test('the table of the operations page says of every metric what the broker says, and of no other', () => {
  const expected = metricFamilies.map(({ name, kind, help, labels }) => {
    return { name, kind: labels === undefined ? kind : `${kind} by ${labels.join(', ')}`, help }
  })
  expect(rowsOf(text)).toEqual(expected)
})

test('every metric the page names anywhere exists', () => {
  const known = new Set(metricFamilies.map(({ name }) => name))
  const named = [...text.matchAll(/\btandemmq_[a-z_]+/g)].map(([name]) => name.replace(/_(bucket|sum|count)$/, ''))
  expect(named.filter((name) => !known.has(name))).toEqual([])
})

test('names follow the conventions: counters end in _total, units are seconds, bytes or ratio, nothing is told twice', () => {
  const names = metricFamilies.map(({ name }) => name)
  expect(new Set(names).size).toBe(names.length)
  for (const { name, kind, help } of metricFamilies) {
    expect(name).toMatch(/^tandemmq_[a-z]+(_[a-z]+)*$/)
    expect(name.endsWith('_total')).toBe(kind === 'counter')
    expect(name).not.toMatch(/_(ms|millis|kb|mb|percent)(_|$)/)
    if (kind === 'histogram') expect(name).toMatch(/_seconds$/)
    expect(help).toMatch(/^[A-Z1]/)
  }
})

test('a row that is missing, wrong or invented would be found', () => {
  const [first = { name: '', kind: '', help: '' }] = rowsOf(text)
  expect(rowsOf(text.replace(`| \`${first.name}\` `, '| '))).toHaveLength(metricFamilies.length - 1)
  expect(rowsOf(text.replace(first.help, 'Something else'))[0]).not.toEqual(first)
})
