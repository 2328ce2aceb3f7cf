import { describe, expect, test } from 'vitest'
import { isAllowed, MatrixWorld } from './matrix-run.ts'
import { faults } from './matrix-table.ts'

// `npm run crash:outbox -- matrix --rounds 20 --seed 7` runs this at length, with a second Postgres.
const long = process.env['CRASH_ROUNDS'] !== undefined
const rounds = Number(process.env['CRASH_ROUNDS'] ?? 1)
const seed = Number(process.env['CRASH_SEED'] ?? 1)
const columns = faults.filter((fault) => long || fault !== 'sync failover')

describe('docs/spec/outbox.md 6.1, P0 to P15', () => {
  test.each(columns)(
    '%s: every point ends as the table requires, nothing stays behind',
    async (fault) => {
      await using world = await MatrixWorld.start(seed, fault === 'sync failover')
      const found = []
      for (let round = 0; round < rounds; round++) {
        const { cells, leftovers, anomalies } = await world.column(fault, round + seed)
        found.push(cells.map(({ point, found: end }) => `${point} ${end}`).join(', '))
        const wrong = cells.filter((cell) => !isAllowed(cell))
        expect({ wrong, leftovers, anomalies }, `round ${round}`).toEqual({ wrong: [], leftovers: '', anomalies: [] })
      }
      console.log(`${fault}:\n${found.join('\n')}`)
    },
    120_000 + rounds * 120_000,
  )
})
