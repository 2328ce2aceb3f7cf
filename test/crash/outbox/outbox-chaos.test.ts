import { expect, test } from 'vitest'
import { outboxChaos } from './chaos-run.ts'

// `npm run crash:outbox -- chaos --minutes 10 --seed 7` runs this at length.
const faultMs = Number(process.env['CRASH_MINUTES'] ?? 0.65) * 60_000
const seed = Number(process.env['CRASH_SEED'] ?? 5)

test(
  'apps, broker, Postgres and the ways between them fail at random: what was committed arrives once, nothing else does',
  async () => {
    const { figures, faults, findings, anomalies, leftovers, witness } = await outboxChaos({ seed, faultMs })
    console.log(JSON.stringify({ ...figures, faults }))
    const explained = [`seed ${seed}`, ...witness, ...anomalies.slice(0, 5)].join('\n')
    expect({ findings: findings.slice(0, 10), anomalies: anomalies.slice(0, 10), leftovers }, explained).toEqual({
      findings: [],
      anomalies: [],
      leftovers: '',
    })
    // A run in which nothing happened proves nothing.
    expect(figures['committed']).toBeGreaterThan(100)
    for (const kind of ['kill app', 'kill postgres', 'kill broker']) expect(faults[kind], kind).toBeGreaterThan(0)
  },
  faultMs + 240_000,
)
