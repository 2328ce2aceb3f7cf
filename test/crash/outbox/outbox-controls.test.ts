import { expect, test } from 'vitest'
import { runControls } from './control-run.ts'

const seed = Number(process.env['CRASH_SEED'] ?? 1)

test('every design known to be wrong is caught, beside an outbox under the same load and crashes that is not', async () => {
  const designs = ['half-first', 'xid-status', 'tag-unchecked', 'end-first', 'outbox'] as const
  const { offences, committed } = await runControls(designs, seed, 2)
  console.log(JSON.stringify({ offences: Object.fromEntries(offences), committed: Object.fromEntries(committed) }))
  expect(offences.get('half-first')?.lost, 'half-first loses').toBeGreaterThan(0)
  for (const design of ['xid-status', 'tag-unchecked', 'end-first'] as const) {
    expect(offences.get(design)?.ghost, `${design} makes ghosts`).toBeGreaterThan(0)
  }
  expect(offences.get('outbox')).toEqual({})
  for (const design of designs) expect(committed.get(design), `${design} works at all`).toBeGreaterThan(0)
}, 120_000)
