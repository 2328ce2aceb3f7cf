import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseSync } from 'vite'

export const repositoryRoot = fileURLToPath(new URL('../../', import.meta.url))

/** One import or re-export. `typeOnly`: nothing of it is left after compiling. */
export interface ImportOf {
  specifier: string
  typeOnly: boolean
}

/** A source file, parsed. Rules take these, so a rule can be shown a bad sample. */
export interface SourceFile {
  /** From the repository's root, with `/`. */
  path: string
  text: string
  imports: ImportOf[]
  /** Uses of what the outside world must not come in by, e.g. `Date.now`. */
  outside: string[]
}

type Node = Record<string, unknown> & { type: string }

/** Hand-written production sources: no tests, nothing generated. */
export function productionSources(): SourceFile[] {
  const folders = ['broker/src', ...directories('packages').map((name) => `packages/${name}/src`)]
  return folders
    .flatMap((folder) => sourcePaths(folder))
    .filter(isProduction)
    .map(readSource)
}

/** The examples' own programs. */
export function exampleSources(): SourceFile[] {
  return sourcePaths('examples').filter(isProduction).map(readSource)
}

export function sourceOf(path: string, text: string): SourceFile {
  const { program, errors } = parseSync(path, text)
  if (errors.length > 0) throw new Error(`${path}: ${errors[0]?.message}`)
  const file: SourceFile = { path, text, imports: [], outside: [] }
  visit(program as unknown as Node, undefined, '', file)
  return file
}

function readSource(path: string): SourceFile {
  return sourceOf(path, readFileSync(join(repositoryRoot, path), 'utf8'))
}

const isProduction = (path: string): boolean => !/(\.test|[.-]test-kit)\.ts$/.test(path)

function directories(path: string): string[] {
  return readdirSync(join(repositoryRoot, path), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
}

const skipped = new Set(['node_modules', 'dist', 'generated', 'fixtures'])

function sourcePaths(folder: string): string[] {
  return readdirSync(join(repositoryRoot, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`
    if (entry.isDirectory()) return skipped.has(entry.name) ? [] : sourcePaths(path)
    return /\.(ts|mjs|js)$/.test(entry.name) && !entry.name.endsWith('.d.ts') ? [path] : []
  })
}

function visit(node: Node, parent: Node | undefined, role: string, file: SourceFile): void {
  noteImport(node, file)
  noteOutside(node, parent, role, file)
  for (const [name, value] of Object.entries(node)) {
    if (name === 'typeAnnotation' || name === 'typeArguments' || name === 'typeParameters') continue
    for (const child of Array.isArray(value) ? value : [value]) {
      if (typeof child === 'object' && child !== null && 'type' in child) visit(child as Node, node, name, file)
    }
  }
}

function noteImport(node: Node, file: SourceFile): void {
  const specifier = (node['source'] as { value?: unknown } | null | undefined)?.value
  if (typeof specifier !== 'string') return
  switch (node.type) {
    case 'ImportDeclaration':
    case 'ExportNamedDeclaration':
    case 'ExportAllDeclaration':
      file.imports.push({ specifier, typeOnly: isTypeOnly(node) })
      return
    case 'ImportExpression':
      file.imports.push({ specifier, typeOnly: false })
  }
}

function isTypeOnly(node: Node): boolean {
  if (node['importKind'] === 'type' || node['exportKind'] === 'type') return true
  const specifiers = (node['specifiers'] ?? []) as Node[]
  // An import without names runs the module for what it does.
  return (
    specifiers.length > 0 && specifiers.every((one) => one['importKind'] === 'type' || one['exportKind'] === 'type')
  )
}

const globals = new Set(['setTimeout', 'setInterval', 'setImmediate', 'performance', 'fetch', 'WebSocket', 'crypto'])
const members: Readonly<Record<string, readonly string[]>> = {
  Date: ['now'],
  Math: ['random'],
  process: ['hrtime', 'uptime'],
  AbortSignal: ['timeout'],
  Atomics: ['wait', 'waitAsync'],
}
const modules = [
  'net',
  'tls',
  'dgram',
  'http',
  'http2',
  'https',
  'dns',
  'fs',
  'fs/promises',
  'timers',
  'timers/promises',
]
const chance = new Set(['randomBytes', 'randomInt', 'randomUUID', 'randomFill', 'randomFillSync', 'getRandomValues'])

function noteOutside(node: Node, parent: Node | undefined, role: string, file: SourceFile): void {
  if (node.type === 'ImportDeclaration') return noteImportedOutside(node, file)
  if (node.type === 'MemberExpression') {
    const owner = (node['object'] as Node)['name'] as string | undefined
    const property = (node['property'] as Node)['name'] as string | undefined
    if (owner === undefined || property === undefined) return
    if (members[owner]?.includes(property)) file.outside.push(`${owner}.${property}`)
    if (owner === 'globalThis' && globals.has(property)) file.outside.push(property)
    return
  }
  if (node.type === 'NewExpression' || node.type === 'CallExpression') {
    const isDate = (node['callee'] as Node)['name'] === 'Date'
    if (isDate && (node['arguments'] as unknown[]).length === 0) file.outside.push('new Date()')
    return
  }
  if (node.type !== 'Identifier' || !globals.has(node['name'] as string)) return
  // `clock.setTimeout`, `{ setTimeout: 1 }` and `setTimeout(): void {}` only share the name.
  const isName = role === 'property' || role === 'key'
  const isShorthand = parent?.type === 'Property' && parent['shorthand'] === true && role === 'value'
  if (!isName || parent?.['computed'] === true || isShorthand) file.outside.push(node['name'] as string)
}

function noteImportedOutside(node: Node, file: SourceFile): void {
  const specifier = (node['source'] as { value: string }).value
  const bare = specifier.replace(/^node:/, '')
  if (isTypeOnly(node)) return
  if (modules.includes(bare)) file.outside.push(`node:${bare}`)
  if (bare !== 'crypto') return
  for (const one of node['specifiers'] as Node[]) {
    const imported = (one['imported'] as Node | undefined)?.['name'] as string | undefined
    if (imported === undefined || chance.has(imported)) file.outside.push(imported ?? 'node:crypto')
  }
}
