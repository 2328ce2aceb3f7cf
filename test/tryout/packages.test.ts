import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { pack, publishedPackages } from './packing.mjs'
import type { Packed } from './packing.mjs'

const root = fileURLToPath(new URL('../..', import.meta.url))
const packages = publishedPackages()
const named = packages.map(({ manifest, folder }) => [manifest.name, folder, manifest] as const)
let directory: string
let tarballs: Packed[]

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'tandemmq-packages-'))
  tarballs = pack(directory)
}, 600_000)
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const filesOf = (name: string) => tarballs.find((one) => one.name === name)?.files.map(({ path }) => path) ?? []

/** A file nobody who installs the package needs, or one that was compiled from a source that is gone. */
function isAstray(path: string, folder: string): boolean {
  if (['LICENSE', 'README.md', 'ERRORS.md', 'package.json'].includes(path) || path.startsWith('bin/')) return false
  const module = /^dist\/(.+)\.(js|js\.map|d\.ts)$/.exec(path)?.[1]
  if (module === undefined || /\.test$|-test-kit$/.test(module)) return true
  return !existsSync(join(root, folder, 'src', `${module}.ts`))
}

describe.each(named)('%s', (name, folder, manifest) => {
  test('is packed with its licence, its README and every file its package.json names', () => {
    const entries = Object.values(manifest.exports).flatMap(({ types, default: code }) => [types, code])
    const needed = [...entries, ...Object.values(manifest.bin ?? {})].map((path) => path.replace(/^\.\//, ''))
    expect(filesOf(name)).toEqual(expect.arrayContaining(['LICENSE', 'README.md', 'package.json', ...needed]))
  })

  test('is packed without sources, tests, fixtures and leavings of older builds', () => {
    expect(filesOf(name).filter((path) => isAstray(path, folder))).toEqual([])
  })

  test('asks for the packages beside it in exactly the version they are packed in', () => {
    const versions = new Map(packages.map((one) => [one.manifest.name, one.manifest.version]))
    for (const [dependency, wanted] of Object.entries(manifest.dependencies ?? {})) {
      if (versions.has(dependency)) expect(`${dependency} ${wanted}`).toBe(`${dependency} ${versions.get(dependency)}`)
    }
  })

  test('has every entry load in plain Node, by import and by require', () => {
    const entries = Object.keys(manifest.exports).map((entry) => JSON.stringify(`${name}${entry.slice(1)}`))
    const loads = entries.map((entry) => `Object.keys(await import(${entry})).length > 0`)
    const requires = entries.map((entry) => `Object.keys(require(${entry})).length > 0`)
    for (const [type, calls] of [
      ['module', loads],
      ['commonjs', requires],
    ] as const) {
      const script = `console.log(${calls.join(', ')})`
      const argv = [`--input-type=${type}`, '--disable-warning=ExperimentalWarning', '--eval', script]
      const { stdout, stderr } = spawnSync(process.execPath, argv, { cwd: join(root, folder), encoding: 'utf8' })
      expect(`${stdout}${stderr}`).toBe(`${calls.map(() => 'true').join(' ')}\n`)
    }
  })

  test('has types that resolve as its code does', () => {
    const { filename = '' } = tarballs.find((one) => one.name === name) ?? {}
    const attw = join(root, 'node_modules/@arethetypeswrong/cli/dist/index.js')
    const argv = [attw, '--profile', 'esm-only', '--format', 'ascii', '--no-color', join(directory, filename)]
    const { status, stdout, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8' })
    expect(`${status} ${status === 0 ? '' : stdout + stderr}`).toBe('0 ')
  })
})

test('an application in CommonJS runs on the built packages', () => {
  const argv = [
    '--disable-warning=ExperimentalWarning',
    fileURLToPath(new URL('commonjs-app/main.js', import.meta.url)),
  ]
  const { stdout, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8', timeout: 25_000 })
  expect(`${stdout}${stderr}`).toBe('refused PAYLOAD_INVALID\nbilling heard o-1 created\nclosed\n')
})
