import { parseLenientJson } from '@tandemmq/protocol'

/** What kind of text a header field holds. */
export function kindOf(value: string | undefined): string {
  if (value === undefined) return 'absent'
  if (/^-?\d+$/.test(value)) return 'integer'
  if (value === 'true' || value === 'false') return 'boolean'
  if (/^[0-9A-F]{32,}(,[0-9A-F]{32,})*$/.test(value)) return 'id'
  if (/^[{[]/.test(value)) return 'JSON'
  return 'text'
}

/** Objects whose keys are data, not names. */
const TABLES = /(Table|Addrs|Map|Set)$|^(data|properties|tables?)$/

/**
 * Paths of a JSON value with their types, `*` for each entry of a list or table. What is empty or null says nothing about its inside.
 */
export function pathsOf(text: string): Map<string, string> {
  const paths = new Map<string, string>()
  walk(parseLenientJson(text), '', false, paths)
  return paths
}

function walk(value: unknown, path: string, isTable: boolean, paths: Map<string, string>): void {
  if (value === null || value === undefined) return
  if (typeof value !== 'object') return void paths.set(path, typeof value)
  paths.set(path, Array.isArray(value) ? 'list' : 'object')
  for (const [key, inner] of Object.entries(value)) {
    const name = Array.isArray(value) || isTable ? '*' : key
    walk(inner, `${path}/${name}`, TABLES.test(key) && !Array.isArray(value) && !isTable, paths)
  }
}

/** Whether something further in was there to be compared. */
const isFilled = (paths: ReadonlyMap<string, string>, path: string): boolean =>
  [...paths.keys()].some((other) => other.startsWith(`${path}/`))

/** Differences of two JSON texts in members and types, as lines of text. */
export function bodyDifferences(recorded: string, ours: string): string[] {
  const [theirs, own] = [pathsOf(recorded), pathsOf(ours)]
  const found: string[] = []
  for (const [path, type] of theirs) {
    const parent = path.slice(0, path.lastIndexOf('/'))
    if (own.has(path) && own.get(path) !== type) found.push(`${path} is ${type}, ours ${own.get(path)}`)
    else if (!own.has(path) && own.has(parent) && isFilled(own, parent)) found.push(`${path} is missing in ours`)
  }
  for (const path of own.keys()) {
    const parent = path.slice(0, path.lastIndexOf('/'))
    if (!theirs.has(path) && theirs.has(parent) && isFilled(theirs, parent)) found.push(`${path} is only in ours`)
  }
  return found
}
