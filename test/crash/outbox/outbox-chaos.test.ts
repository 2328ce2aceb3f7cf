import { expect, test } from 'vitest'
import { outboxChaos } from './chaos-run.ts'

// `npm run crash:outbox -- chaos --minutes 10 --seed 7` runs this at length.
const faultMs = Number(process.env['CRASH_MINUTES'] ?? 0.65) * 60_000
/** Of a cluster that runs already: its brokers are left alone, and what a stock one cannot do is not asked of it. */
const nameServer = process.env['CRASH_NAMESERVER']
// A stock broker looks at its half messages every 30 s.
const drainMsMax = nameServer === undefined ? 60_000 : 400_000
const kinds = ['kill app', 'kill postgres', ...(nameServer === undefined ? ['kill broker'] : [])]
const seed = Number(process.env['CRASH_SEED'] ?? 5)

test(
  'apps, broker, Postgres and the ways between them fail at random: what was committed arrives once, nothing else does',
  async () => {
    const { figures, faults, findings, anomalies, leftovers, witness } = await outboxChaos({
      ...{ seed, faultMs, drainMsMax },
      ...(nameServer === undefined ? {} : { nameServer }),
    })
    console.log(JSON.stringify({ ...figures, faults }))
    const explained = [`seed ${seed}`, ...witness, ...anomalies.slice(0, 5)].join('\n')
    expect({ findings: findings.slice(0, 10), anomalies: anomalies.slice(0, 10), leftovers }, explained).toEqual({
      findings: [],
      anomalies: [],
      leftovers: '',
    })
    // Then the cluster's limits were met, and nothing is promised: docs/apache-rocketmq.md.
    expect(figures['parked'] ?? 0).toBe(0)
    // A run in which nothing happened proves nothing.
    expect(figures['committed']).toBeGreaterThan(100)
    for (const kind of kinds) expect(faults[kind], kind).toBeGreaterThan(0)
  },
  faultMs + drainMsMax + 180_000,
)
