import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { repositoryRoot } from './source-files.ts'

const document = join(repositoryRoot, 'ARCHITECTURE.md')

/** Paths in backticks: `packages/…`, `broker/…`, `test/…`, `examples/…`, `docs/…`, `scripts/…`; none with a wildcard. */
function pathsIn(text: string): string[] {
  const paths = text.matchAll(/`((?:packages|broker|test|examples|docs|scripts|\.ci)\/[^`*{}<>\s]*)`/g)
  return [...paths].map(([, path = '']) => path)
}

test('paths are read from backticks', () => {
  expect(pathsIn('see `broker/src/store/` and `packages/*/src`, not broker/src')).toEqual(['broker/src/store/'])
})

test.skipIf(!existsSync(document))('every path ARCHITECTURE.md names exists, and every package is on its map', () => {
  const text = readFileSync(document, 'utf8')
  const paths = pathsIn(text)
  expect(paths.length).toBeGreaterThan(5)
  expect(paths.filter((path) => !existsSync(join(repositoryRoot, path)))).toEqual([])
  const workspaces: string[] = JSON.parse(readFileSync(join(repositoryRoot, 'package.json'), 'utf8')).workspaces
  // What lies below test/ is told by the line of test/.
  const packages = workspaces.filter((folder) => !folder.startsWith('test/'))
  expect(packages.filter((folder) => !text.includes(`\`${folder}/`))).toEqual([])
})
