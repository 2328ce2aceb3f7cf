import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseSync } from 'vite'
import { repositoryRoot } from './source-files.ts'

/** A test whose name begins with rows of the fault matrix, such as `F05 F06: …`. */
export interface FaultTest {
  /** From the repository's root, with `/`. */
  file: string
  /** As in the source; `${…}` for each part that is computed. */
  name: string
  rows: string[]
}

type Node = Record<string, unknown> & { type: string }

const NAME = /^(F\d\d(?: F\d\d)*): ./s
const skipped = new Set(['node_modules', 'dist', 'fixtures'])

export function faultTests(): FaultTest[] {
  return ['broker', 'packages', 'test'].flatMap(testPaths).flatMap((file) => {
    const text = readFileSync(join(repositoryRoot, file), 'utf8')
    return /[`'"]F\d\d/.test(text) ? faultTestsOf(file, text) : []
  })
}

export function faultTestsOf(file: string, text: string): FaultTest[] {
  return declaredTests(file, text).flatMap(({ name }) => {
    const rows = NAME.exec(name)?.[1]?.split(' ')
    return rows === undefined ? [] : [{ file, name, rows }]
  })
}

/** Every test a file declares, also those of `test.each` and of helpers that take a name and a function. */
export function declaredTests(file: string, text: string): Omit<FaultTest, 'rows'>[] {
  const { program, errors } = parseSync(file, text)
  if (errors.length > 0) throw new Error(`${file}: ${errors[0]?.message}`)
  const found: Omit<FaultTest, 'rows'>[] = []
  visit(program as unknown as Node, (name) => found.push({ file, name }))
  return found
}

/** Whether `told`, as a reader of a test report has it, is the name of `test`. */
export function isNamed(test: Pick<FaultTest, 'name'>, told: string): boolean {
  const parts = test.name.split('${…}').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`))
  return new RegExp(`^${parts.join('.+')}$`, 's').test(told)
}

/** The tests that a line of a page names: `` `file`: "name", "name" ``. */
export function namedTests(line: string): Omit<FaultTest, 'rows'>[] {
  return [...line.matchAll(/`([^`]+\.test\.ts)`: ("[^"]+"(?:, "[^"]+")*)/g)].flatMap(([, file = '', names = '']) =>
    [...names.matchAll(/"([^"]+)"/g)].map(([, name = '']) => ({ file, name })),
  )
}

/** First argument of each call that has a function among its arguments: what declares a test, whatever it is called. */
function visit(node: Node, onName: (name: string) => void): void {
  if (node.type === 'CallExpression') {
    const [first, ...rest] = node['arguments'] as Node[]
    const isDeclared = rest.some(({ type }) => type === 'ArrowFunctionExpression' || type === 'FunctionExpression')
    if (first !== undefined && isDeclared) onName(textOf(first))
  }
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) {
      if (typeof child === 'object' && child !== null && 'type' in child) visit(child as Node, onName)
    }
  }
}

function textOf(node: Node): string {
  if (node.type === 'Literal') return String(node['value'])
  if (node.type !== 'TemplateLiteral') return ''
  return (node['quasis'] as { value: { cooked: string } }[]).map(({ value }) => value.cooked).join('${…}')
}

function testPaths(folder: string): string[] {
  return readdirSync(join(repositoryRoot, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`
    if (entry.isDirectory()) return skipped.has(entry.name) ? [] : testPaths(path)
    return entry.name.endsWith('.test.ts') ? [path] : []
  })
}
