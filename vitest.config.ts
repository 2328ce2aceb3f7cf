import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const root = fileURLToPath(new URL('.', import.meta.url))

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
    include: ['packages/**/*.test.ts', 'broker/**/*.test.ts', 'examples/**/*.test.ts', 'test/**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    reporters: ['default', ['json', { outputFile: 'node_modules/.cache/tandemmq/tests.json' }]],
  },
})
