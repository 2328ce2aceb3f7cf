import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import type { TestProjectInlineConfiguration } from 'vitest/config'

const root = fileURLToPath(new URL('.', import.meta.url))

/** The tests of what plugs into Nest once more, on a Nest of its own below `test/nest/`. Both majors come with `npm ci`. */
function onNest(version: string): TestProjectInlineConfiguration {
  const folder = `${root}test/nest/${version}`
  return {
    extends: true,
    resolve: { alias: [{ find: /^@nestjs\/([^/]+)$/, replacement: `${folder}/node_modules/@nestjs/$1/index.js` }] },
    test: { name: `nest ${version}`, include: ['packages/nestjs/**/*.test.ts'], env: { TANDEM_NEST: folder } },
  }
}

// In-process tests run the sources; tests that start programs run dist, which `npm test` builds first.
export default defineConfig({
  oxc: { decorator: { legacy: true, emitDecoratorMetadata: true } },
  resolve: {
    alias: [
      { find: /^@tandemmq\/broker$/, replacement: `${root}broker/src/index.ts` },
      { find: /^@tandemmq\/broker\/(.+)$/, replacement: `${root}broker/src/$1.ts` },
      { find: /^@tandemmq\/([^/]+)$/, replacement: `${root}packages/$1/src/index.ts` },
      { find: /^@tandemmq\/([^/]+)\/(.+)$/, replacement: `${root}packages/$1/src/$2.ts` },
    ],
  },
  test: {
    exclude: ['**/node_modules/**', '**/dist/**'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    reporters: ['default', ['json', { outputFile: 'node_modules/.cache/tandemmq/tests.json' }]],
    projects: [
      {
        extends: true,
        test: {
          name: 'tests',
          include: ['packages/**/*.test.ts', 'broker/**/*.test.ts', 'examples/**/*.test.ts', 'test/**/*.test.ts'],
        },
      },
      // The newest 11 and the oldest Nest the package promises; everything above runs on 12.
      onNest('11'),
      onNest('11.1.4'),
    ],
  },
})
