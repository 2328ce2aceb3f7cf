import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { blocksOf } from '../kit/markdown-blocks.mjs'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** What a page takes for granted, so that it need not say it in every snippet. */
const world = `
import type { Admin, ConsumedMessage, Producer, PushConsumer } from '@tandemmq/client'
import type { Outbox } from '@tandemmq/outbox'
import type { RemotingServer } from '@tandemmq/remoting'
import type { Knex } from 'knex'
import type pg from 'pg'
declare global {
  interface Order { id: string; amount: number }
  const order: Order
  class AppModule {}
  const knex: Knex
  const pool: pg.Pool
  const client: pg.PoolClient
  const connectionString: string
  const nameServers: string
  const outbox: Outbox<Knex>
  const consumer: PushConsumer
  const server: RemotingServer
  const metrics: { observe(topic: string, costMs: number, succeeded: boolean): void }
  function currentTraceparent(): string
}
`

// As `nest new` has them, with all that strict adds.
const compilerOptions = {
  target: 'es2023',
  lib: ['es2023', 'esnext.disposable'],
  module: 'nodenext',
  moduleResolution: 'nodenext',
  types: ['node'],
  strict: true,
  isolatedModules: true,
  experimentalDecorators: true,
  emitDecoratorMetadata: true,
  esModuleInterop: true,
  skipLibCheck: true,
  noEmit: true,
  // Not where packages of the root find it; its peers are.
  paths: { '@nestjs/terminus': ['../../../../test/nest/libraries/node_modules/@nestjs/terminus/dist/index.d.ts'] },
}

/** A page of the repository, by its path, and its text. */
export interface Page {
  path: string
  text: string
}

export function pageOf(path: string): Page {
  return { path, text: readFileSync(join(root, path), 'utf8') }
}

/**
 * Compiles the TypeScript of pages against the built packages. A block with `file=` is that file of the page's own project,
 * any other a module by itself.
 * @returns what the compiler says, each line with page and line of the snippet
 */
export function compiledSnippets(pages: readonly Page[], name: string): string[] {
  // Below node_modules, so that imports are resolved as those of an installed application.
  const folder = join(root, 'node_modules/.cache/tandemmq', name)
  rmSync(folder, { recursive: true, force: true })
  const places = new Map<string, string>()
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  for (const page of pages) {
    const home = page.path.replaceAll(/[^a-z]+/gi, '-').toLowerCase()
    for (const { language, attributes, text, line } of blocksOf(page.text)) {
      if (language !== 'ts') continue
      const file = `${home}/${attributes['file'] ?? `line-${line}.ts`}`
      places.set(file, `${page.path}:${line}`)
      write(file, attributes['file'] === undefined ? `${text}export {}\n` : text)
    }
  }
  write('world.d.ts', world)
  write('package.json', '{ "type": "module" }')
  write('tsconfig.json', JSON.stringify({ compilerOptions, include: ['**/*.ts'] }))
  const { stdout } = spawnSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder], {
    cwd: folder,
    encoding: 'utf8',
  })
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.replace(/^[^ (]+\.ts/, (file) => places.get(file) ?? file))
}
