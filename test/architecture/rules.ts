import { posix } from 'node:path'
import type { SourceFile } from './source-files.ts'

/** What is wrong, one sentence each; empty when the rule holds. */
export type Findings = string[]

/** The code map of ARCHITECTURE.md: what each package may import of ours. */
export const packageTable: Readonly<Record<string, readonly string[]>> = {
  protocol: [],
  remoting: ['protocol'],
  broker: ['protocol', 'remoting'],
  client: ['protocol', 'remoting'],
  outbox: ['client'],
  nestjs: ['client', 'outbox'],
  testing: ['broker', 'client', 'nestjs'],
  cli: ['broker', 'client', 'outbox'],
}

/** `packages/client/src/x.ts` -> `client`, `broker/src/x.ts` -> `broker`. */
export function packageOf(path: string): string | undefined {
  const [first, second] = path.split('/')
  if (first === 'broker') return 'broker'
  return first === 'packages' ? second : undefined
}

/** Every package imports only what lies below it, and by name: no relative path leaves a package. */
export function packageImports(files: readonly SourceFile[], table = packageTable): Findings {
  return files.flatMap((file) => {
    const from = packageOf(file.path)
    if (from === undefined) return []
    return file.imports.flatMap(({ specifier }) => {
      const to = /^@tandemmq\/([^/]+)/.exec(specifier)?.[1]
      if (to !== undefined && to !== from && !table[from]?.includes(to)) return [`${file.path} imports ${specifier}`]
      const leaves = specifier.startsWith('.') && packageOf(targetOf(file, specifier)) !== from
      return leaves ? [`${file.path} leaves its package by ${specifier}`] : []
    })
  })
}

export function targetOf(file: SourceFile, specifier: string): string {
  return posix.normalize(posix.join(posix.dirname(file.path), specifier))
}

/**
 * Inside `broker/src`: which rooms a room may import as values, and which as types only. `.` = files beside the rooms
 * (interfaces and helpers every room may use). broker.ts, name-server-process.ts, rooms.ts, index.ts and
 * simulation.ts put rooms together and may import all.
 */
export interface RoomRule {
  values: readonly string[]
  types: readonly string[]
}

const assemblers = new Set(['broker.ts', 'name-server-process.ts', 'rooms.ts', 'index.ts', 'simulation.ts'])

export function roomOf(path: string): string | undefined {
  const inside = /^broker\/src\/(.+)$/.exec(path)?.[1]
  if (inside === undefined) return undefined
  return inside.includes('/') ? inside.slice(0, inside.indexOf('/')) : '.'
}

export function roomImports(files: readonly SourceFile[], table: Readonly<Record<string, RoomRule>>): Findings {
  return files.flatMap((file) => {
    const from = roomOf(file.path)
    if (from === undefined || (from === '.' && assemblers.has(posix.basename(file.path)))) return []
    const rule = table[from]
    if (rule === undefined) return [`${file.path} is in a room the table does not know`]
    return file.imports.flatMap(({ specifier, typeOnly }) => {
      if (!specifier.startsWith('.')) return []
      const target = targetOf(file, specifier)
      const to = roomOf(target)
      if (to === undefined || to === from) return []
      // The list of rooms is what `server` maps codes to.
      if (to === '.' && typeOnly && from === 'server') return []
      if (to === '.' && assemblers.has(posix.basename(target))) return [`${file.path} imports the assembler ${target}`]
      if (rule.values.includes(to) || (typeOnly && rule.types.includes(to))) return []
      return [`${file.path} imports ${target}${rule.types.includes(to) ? ' for more than its types' : ''}`]
    })
  })
}

/** Time, chance, sockets and files come in through Clock, Network and Disk. */
export interface Door {
  path: string
  uses: readonly string[]
  reason: string
}

export function outsideWorld(files: readonly SourceFile[], doors: readonly Door[]): Findings {
  const breaches = files.flatMap((file) => {
    const allowed = doors.filter((door) => door.path === file.path).flatMap(({ uses }) => uses)
    return [...new Set(file.outside)].filter((use) => !allowed.includes(use)).map((use) => `${file.path} uses ${use}`)
  })
  const unused = doors.flatMap((door) => {
    const file = files.find(({ path }) => path === door.path)
    const idle = door.uses.filter((use) => !file?.outside.includes(use))
    return idle.map((use) => `the exception of ${door.path} for ${use} is not needed`)
  })
  return [...breaches, ...unused]
}

export function fileSizes(files: readonly SourceFile[], linesMax: number): Findings {
  return files.flatMap(({ path, text }) => {
    const lines = text.split('\n').length - 1
    return lines >= linesMax ? [`${path} has ${lines} lines`] : []
  })
}

/** Cycles of imports that are left after compiling; built ESM meets them as "cannot access before initialization". */
export function cycles(files: readonly SourceFile[]): Findings {
  const byPath = new Map(files.map((file) => [file.path, file]))
  const done = new Set<string>()
  const findings: Findings = []
  const walk = (path: string, way: readonly string[]): void => {
    if (way.includes(path)) {
      findings.push([...way.slice(way.indexOf(path)), path].join(' -> '))
      return
    }
    const file = byPath.get(path)
    if (file === undefined || done.has(path)) return
    for (const { specifier, typeOnly } of file.imports) {
      if (!typeOnly && specifier.startsWith('.')) walk(targetOf(file, specifier), [...way, path])
    }
    done.add(path)
  }
  for (const { path } of files) walk(path, [])
  return findings
}
