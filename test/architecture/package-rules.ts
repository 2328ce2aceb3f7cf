import { builtinModules } from 'node:module'
import { type Findings, packageTable } from './rules.ts'
import type { SourceFile } from './source-files.ts'

/** What these rules read of a package.json. */
export interface Manifest {
  /** From the repository's root, e.g. `packages/client`. */
  folder: string
  name: string
  dependencies?: Record<string, string>
  peerDependencies?: Record<string, string>
  exports?: Record<string, unknown>
}

/** Used by everybody, so whoever installs them installs nothing else. */
const withoutDependencies = ['protocol', 'remoting', 'client', 'broker'] as const

const builtins = new Set(builtinModules)

/** `@scope/name/sub` -> `@scope/name`; undefined for a relative path or a module of Node. */
function packageNameOf(specifier: string): string | undefined {
  if (specifier.startsWith('.') || specifier.startsWith('node:') || builtins.has(specifier)) return undefined
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}

/** A package declares exactly what its sources import: what is missing breaks after `npm install`, what is idle misleads. */
export function declaredDependencies(manifest: Manifest, files: readonly SourceFile[]): Findings {
  const own = files.filter(({ path }) => path.startsWith(`${manifest.folder}/`))
  const declared = new Set([
    ...Object.keys(manifest.dependencies ?? {}),
    ...Object.keys(manifest.peerDependencies ?? {}),
  ])
  const imported = new Set(
    own.flatMap(({ imports }) => imports.flatMap(({ specifier }) => packageNameOf(specifier) ?? [])),
  )
  const missing = [...imported].filter((name) => !declared.has(name) && name !== manifest.name)
  const idle = [...declared].filter((name) => !imported.has(name))
  return [
    ...missing.map((name) => `${manifest.name} imports ${name} without declaring it`),
    ...idle.map((name) => `${manifest.name} declares ${name} without importing it`),
  ]
}

export function coreWithoutDependencies(manifests: readonly Manifest[]): Findings {
  const core = withoutDependencies.map((name) => `@tandemmq/${name}`)
  return manifests
    .filter(({ name }) => core.includes(name))
    .flatMap(({ name, dependencies, peerDependencies }) =>
      Object.keys({ ...dependencies, ...peerDependencies })
        .filter((one) => !core.includes(one))
        .map((one) => `${name} depends on ${one}`),
    )
}

/** Other packages are entered by the doors their package.json opens. */
export function publicEntries(files: readonly SourceFile[], manifests: readonly Manifest[]): Findings {
  const doors = new Map(manifests.map(({ name, exports }) => [name, Object.keys(exports ?? {})]))
  return files.flatMap(({ path, imports }) =>
    imports.flatMap(({ specifier }) => {
      const name = packageNameOf(specifier)
      const entries = name === undefined ? undefined : doors.get(name)
      if (name === undefined || entries === undefined) return []
      return entries.includes(`.${specifier.slice(name.length)}`)
        ? []
        : [`${path} imports ${specifier}, which is no entry`]
    }),
  )
}

/** Examples show what users can write: nothing of a package by its path, nothing of the tests. */
export function exampleImports(files: readonly SourceFile[]): Findings {
  return files.flatMap(({ path, imports }) => {
    const home = path.split('/').slice(0, 2).join('/')
    return imports
      .filter(({ specifier }) => specifier.startsWith('.'))
      .filter(({ specifier }) => !new URL(specifier, `file:///${path}`).pathname.startsWith(`/${home}/`))
      .map(({ specifier }) => `${path} leaves its example by ${specifier}`)
  })
}

/** Every workspace is one of the packages of the table, or an example. */
export function unknownWorkspaces(manifests: readonly Manifest[], table = packageTable): Findings {
  const known = Object.keys(table).map((name) => (name === 'broker' ? 'broker' : `packages/${name}`))
  return manifests
    .filter(({ folder }) => !known.includes(folder) && !folder.startsWith('examples/'))
    .map(({ folder }) => `${folder} is not in the table`)
}
