import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { blocksOf } from '../kit/markdown-blocks.mjs'
import { compiledSnippets, pageOf } from './snippets.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const { workspaces } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { workspaces: string[] }
const readmes = workspaces.filter((folder) => !/^(examples|test)\//.test(folder)).map((folder) => `${folder}/README.md`)

test('every snippet of docs/nestjs.md and of the READMEs of the packages compiles against the built packages', () => {
  const pages = ['docs/nestjs.md', ...readmes].map(pageOf)
  expect(
    pages.flatMap(({ text }) => blocksOf(text)).filter(({ language }) => language === 'ts').length,
  ).toBeGreaterThan(15)
  expect(compiledSnippets(pages, 'snippets')).toEqual([])
}, 120_000)

test('a snippet that does not compile is told with its page and line', () => {
  const text = [
    'Words.',
    '```ts file=src/a.ts',
    "export const a: number = 'text'",
    '```',
    '```ts file=src/b.ts',
    "import { a } from './a.js'",
    'a.toFixed()',
    '```',
    '```sh',
    'not even TypeScript',
    '```',
    '```ts',
    "import { Producer } from '@tandemmq/client'",
    "new Producer({ nameServers: 'a:1', group: 'g' }).sent()",
    'order.amount + 1',
    '```',
    '',
  ].join('\n')
  const findings = compiledSnippets([{ path: 'docs/broken.md', text }], 'broken-snippets').toSorted()
  expect(findings).toEqual([
    expect.stringMatching(/^docs\/broken\.md:12\(2,\d+\): error TS2339.*'sent'/),
    expect.stringMatching(/^docs\/broken\.md:2\(1,14\): error TS2322/),
  ])
}, 120_000)

test('a fence that is not closed is told', () => {
  expect(() => blocksOf('```ts\nconst a = 1\n')).toThrow('line 1')
})
