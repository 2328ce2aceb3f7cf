import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import type { Exploration } from './explorer.ts'
import { exploreOutbox, outboxSteps } from './outbox-model.ts'
import type { Variant } from './variants.ts'
import { designs, leftOut, products } from './variants.ts'

const isLong = process.env['CRASH_FULL'] === '1'
const showsTraces = process.env['CRASH_TRACES'] === '1'
const root = fileURLToPath(new URL('../../../../', import.meta.url))
const report: string[] = []
const unused = new Set(outboxSteps.map(({ name }) => name))

function explored({ name, setting }: Variant): Exploration<unknown> {
  const found = exploreOutbox(setting, isLong ? 6_000_000 : 400_000)
  const kinds = kindsOf(found).join(', ') || 'clean'
  report.push(`${String(found.states).padStart(9)}${String(found.transitions).padStart(10)}  ${name}: ${kinds}`)
  if (showsTraces) {
    for (const { kind, trace } of found.violations)
      report.push(`${' '.repeat(23)}${kind}:`, ...trace.map((step) => `${' '.repeat(25)}${step}`))
  }
  for (const step of outboxSteps) if (!found.unused.includes(step.name)) unused.delete(step.name)
  return found
}

/** What leads nowhere but to something worse says nothing by itself. */
const kindsOf = ({ violations }: Exploration<unknown>): string[] => {
  const kinds = violations.map(({ kind }) => kind)
  return kinds.length > 1 ? kinds.filter((kind) => kind !== 'stuck') : kinds
}

const clean = (variant: Variant): string[] =>
  explored(variant).violations.map(({ kind, trace }) => `${kind}: ${trace.join(' > ')}`)

afterAll(() => {
  if (isLong || showsTraces) console.log(['   states transitions', ...report].join('\n'))
})

describe('the product delivers what is committed, once, whatever breaks', () => {
  for (const variant of products(isLong)) test(variant.name, () => expect(clean(variant)).toEqual([]), 600_000)
})

describe('of the designs of outbox.md 2.4', () => {
  for (const variant of designs) {
    const { name, finds } = variant
    if (finds === undefined) test(`${name} is clean`, () => expect(clean(variant)).toEqual([]))
    else test(`${name} ends with ${finds}`, () => expect(kindsOf(explored(variant))).toContain(finds))
  }
})

describe('each rule of the product is needed', () => {
  for (const variant of leftOut)
    test(`${variant.name}: ${variant.finds}`, () => expect(kindsOf(explored(variant))).toContain(variant.finds))
})

test('every step of the model happens somewhere', () => expect([...unused]).toEqual([]))

test('every step names a place that exists', () => {
  const missing = outboxSteps.filter(
    ({ source: [file, text] }) => !readFileSync(`${root}${file}`, 'utf8').includes(text),
  )
  expect(missing.map(({ name, source }) => `${name}: ${source.join(' ')}`)).toEqual([])
})
