import { expect, test } from 'vitest'
import { cycles, fileSizes, outsideWorld, packageImports, packageOf, packageTable, roomImports } from './rules.ts'
import { productionSources, sourceOf } from './source-files.ts'
import { doors, roomTable } from './tables.ts'

const sources = productionSources()

test('the scan finds the sources of every package', () => {
  const found = new Set(sources.map(({ path }) => packageOf(path)))
  expect([...found].toSorted()).toEqual(Object.keys(packageTable).toSorted())
})

test('every package imports only what lies below it', () => {
  expect(packageImports(sources)).toEqual([])
})

const imported = (path: string, text: string) => packageImports([sourceOf(path, text)])

test('an import that points up or out of its package is found', () => {
  expect(imported('packages/protocol/src/x.ts', `import { Producer } from '@tandemmq/client'`)).toHaveLength(1)
  expect(imported('packages/client/src/x.ts', `import type { Broker } from '@tandemmq/broker'`)).toHaveLength(1)
  expect(imported('packages/nestjs/src/x.ts', `export * from '@tandemmq/remoting/simulation'`)).toHaveLength(1)
  expect(imported('packages/outbox/src/x.ts', `const p = await import('@tandemmq/protocol')`)).toHaveLength(1)
  expect(imported('broker/src/store/x.ts', `import { a } from '../../../packages/client/src/a.ts'`)).toHaveLength(1)
  expect(imported('packages/outbox/src/x.ts', `import { Producer } from '@tandemmq/client'`)).toEqual([])
})

test('the rooms of the broker keep their walls', () => {
  expect(roomImports(sources, roomTable)).toEqual([])
})

const walled = (path: string, text: string) => roomImports([sourceOf(path, text)], roomTable)

test('a broken wall inside the broker is found', () => {
  expect(walled('broker/src/store/x.ts', `import { topics } from '../queueing/topics.ts'`)).toHaveLength(1)
  expect(walled('broker/src/delay/x.ts', `import { MessageStore } from '../store/index.ts'`)).toHaveLength(1)
  expect(walled('broker/src/delay/x.ts', `import type { MessageStore } from '../store/index.ts'`)).toEqual([])
  expect(walled('broker/src/nameserver/x.ts', `import type { Disk } from '../store/disk.ts'`)).toHaveLength(1)
  expect(walled('broker/src/retry/x.ts', `import { Broker } from '../broker.ts'`)).toHaveLength(1)
  expect(walled('broker/src/server/x.ts', `import { openRooms } from '../rooms.ts'`)).toHaveLength(1)
  expect(walled('broker/src/server/x.ts', `import type { Rooms } from '../rooms.ts'`)).toEqual([])
  expect(walled('broker/src/cellar/x.ts', `export const a = 1`)).toHaveLength(1)
  expect(walled('broker/src/broker.ts', `import { MessageStore } from './store/index.ts'`)).toEqual([])
})

test('time, chance, sockets and files come in through Clock, Network and Disk only', () => {
  expect(outsideWorld(sources, doors)).toEqual([])
})

test.each([
  'const a = Date.now()',
  'const a = new Date()',
  'const a = Date()',
  'performance.now()',
  'const { now } = performance',
  'setTimeout(() => {}, 1)',
  'const later = setInterval',
  'globalThis.setImmediate(f)',
  'const a = { setTimeout }',
  'AbortSignal.timeout(5)',
  'process.hrtime.bigint()',
  'Math.random()',
  `import { randomUUID } from 'node:crypto'`,
  `import * as crypto from 'node:crypto'`,
  'crypto.getRandomValues(a)',
  `import net from 'node:net'`,
  `import { connect } from 'tls'`,
  `import { readFile } from 'node:fs/promises'`,
  `import { setTimeout as sleep } from 'node:timers/promises'`,
])('a way around the doors is found: %s', (text) => {
  expect(outsideWorld([sourceOf('packages/client/src/x.ts', text)], [])).not.toEqual([])
})

test.each([
  'const a = new Date(clock.now())',
  'clock.setTimeout(1)',
  'interface A { performance: number }',
  'const a = { performance: 1 }',
  '// setTimeout and Date.now() are named in a comment',
  `const text = 'Math.random()'`,
  `import type { Socket } from 'node:net'`,
  `import { createHash } from 'node:crypto'`,
  'class A { setTimeout(): void {} }',
])('what only looks like one is not: %s', (text) => {
  expect(outsideWorld([sourceOf('packages/client/src/x.ts', text)], [])).toEqual([])
})

test('an exception nobody needs any more is found', () => {
  const door = { path: 'packages/client/src/x.ts', uses: ['Date.now'], reason: 'none' }
  expect(outsideWorld([sourceOf(door.path, 'export const a = 1')], [door])).toHaveLength(1)
  expect(outsideWorld([sourceOf(door.path, 'export const a = Date.now()')], [door])).toEqual([])
})

test('every exception says why', () => {
  expect(doors.filter(({ reason }) => reason.length < 10)).toEqual([])
})

test('no source file has 500 lines', () => {
  expect(fileSizes(sources, 500)).toEqual([])
})

const lines = (count: number) => sourceOf('broker/src/x.ts', 'export const a = 1\n' + '\n'.repeat(count - 1))

test('a file of 500 lines is found, one of 499 is not', () => {
  expect(fileSizes([lines(500)], 500)).toHaveLength(1)
  expect(fileSizes([lines(499)], 500)).toEqual([])
})

test('no circular imports are left after compiling', () => {
  expect(cycles(sources)).toEqual([])
})

const circle = (text: string) =>
  cycles([
    sourceOf('broker/src/a.ts', `import { b } from './b.ts'`),
    sourceOf('broker/src/b.ts', `import { c } from './c.ts'`),
    sourceOf('broker/src/c.ts', text),
  ])

test('a circle of imports is found unless it is of types', () => {
  expect(circle(`export { a } from './a.ts'`)).toEqual([
    'broker/src/a.ts -> broker/src/b.ts -> broker/src/c.ts -> broker/src/a.ts',
  ])
  expect(circle(`import type { a } from './a.ts'`)).toEqual([])
})
