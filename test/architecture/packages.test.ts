import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import {
  coreWithoutDependencies,
  declaredDependencies,
  exampleImports,
  type Manifest,
  publicEntries,
  unknownWorkspaces,
} from './package-rules.ts'
import { exampleSources, productionSources, repositoryRoot, sourceOf } from './source-files.ts'
import { dependencyExceptions } from './tables.ts'

const read = (path: string): string => readFileSync(join(repositoryRoot, path), 'utf8')
const { workspaces } = JSON.parse(read('package.json')) as { workspaces: string[] }
// What lies below test/ holds versions to test with, and no program.
const folders = workspaces.filter((folder) => !folder.startsWith('test/'))
const manifests = folders.map(
  (folder): Manifest => ({ folder, ...(JSON.parse(read(`${folder}/package.json`)) as Omit<Manifest, 'folder'>) }),
)
const sources = [...productionSources(), ...exampleSources()]

test('every package is in the table, and says in a README what it is for', () => {
  expect(unknownWorkspaces(manifests)).toEqual([])
  expect(unknownWorkspaces([{ folder: 'packages/attic', name: 'x' }])).toHaveLength(1)
  expect(folders.filter((folder) => !existsSync(join(repositoryRoot, folder, 'README.md')))).toEqual([])
  for (const { folder, name } of manifests.filter((one) => !one.folder.startsWith('examples/'))) {
    expect(read(`${folder}/README.md`), folder).toContain(name)
  }
})

test('every package declares exactly what it imports', () => {
  const findings = manifests.flatMap((manifest) => declaredDependencies(manifest, sources))
  expect(findings.filter((finding) => !dependencyExceptions.some(({ finding: known }) => known === finding))).toEqual(
    [],
  )
  expect(dependencyExceptions.filter(({ finding }) => !findings.includes(finding))).toEqual([])
})

const client = (text: string, dependencies: Record<string, string> = {}) =>
  declaredDependencies({ folder: 'packages/client', name: '@tandemmq/client', dependencies }, [
    sourceOf('packages/client/src/x.ts', text),
  ])

test('an undeclared import and an idle declaration are found', () => {
  expect(client(`import pg from 'pg'`)).toEqual(['@tandemmq/client imports pg without declaring it'])
  expect(client(`import type { A } from '@nestjs/common/a'`)).toHaveLength(1)
  expect(client(`import { a } from './a.ts'`, { pg: '8' })).toHaveLength(1)
  expect(client(`import { a } from 'pg/sub'; import fs from 'node:fs'; import os from 'os'`, { pg: '8' })).toEqual([])
})

test('protocol, remoting, client and broker depend on nothing but one another', () => {
  expect(coreWithoutDependencies(manifests)).toEqual([])
  const with_ = (name: string, one: string): Manifest => ({ folder: 'x', name, peerDependencies: { [one]: '1' } })
  expect(coreWithoutDependencies([with_('@tandemmq/client', 'lodash')])).toHaveLength(1)
  expect(coreWithoutDependencies([with_('@tandemmq/client', '@tandemmq/outbox')])).toHaveLength(1)
  expect(coreWithoutDependencies([with_('@tandemmq/client', '@tandemmq/protocol')])).toEqual([])
})

test('packages and examples enter one another by public entries only', () => {
  expect(publicEntries(sources, manifests)).toEqual([])
  const entered = (text: string) => publicEntries([sourceOf('packages/outbox/src/x.ts', text)], manifests)
  expect(entered(`import { a } from '@tandemmq/client/src/route.ts'`)).toHaveLength(1)
  expect(entered(`import { a } from '@tandemmq/client/internal'`)).toHaveLength(1)
  expect(entered(`import { a } from '@tandemmq/remoting/simulation'`)).toEqual([])
})

test('an example uses nothing by path that a user would not have', () => {
  expect(exampleImports(exampleSources())).toEqual([])
  const example = (text: string) => exampleImports([sourceOf('examples/order-flow/src/x.ts', text)])
  expect(example(`import { a } from '../../../packages/client/src/index.ts'`)).toHaveLength(1)
  expect(example(`import { a } from '../../other/a.ts'`)).toHaveLength(1)
  expect(example(`import { a } from '../a.ts'`)).toEqual([])
})
