import { expect, test } from 'vitest'
import { chaos } from './chaos/chaos.ts'

// `npm run chaos -- --minutes 10 --seed 7` runs this at length.
const faultMs = Number(process.env['CRASH_MINUTES'] ?? 0.3) * 60_000
const seed = Number(process.env['CRASH_SEED'] ?? 1)

test(
  'every kind of group keeps its promises while broker, clients and connections are killed, stopped and cut at random',
  async () => {
    console.log(`chaos seed ${seed}`)
    const { figures, violations, witness } = await chaos({ seed, faultMs })
    const width = Math.max(...Object.keys(figures).map((name) => name.length))
    console.log(
      Object.entries(figures)
        .map(([name, n]) => `${name.padEnd(width)} ${String(n).padStart(8)}`)
        .join('\n'),
    )
    const explained = [`seed ${seed}`, ...witness].join('\n')
    expect(
      violations.slice(0, 10).map(({ rule, text }) => `${rule}: ${text}`),
      explained,
    ).toEqual([])
    // A run in which nothing happened proves nothing.
    for (const name of ['ok', 'broker restarts', 'retries', 'dead letters', 'dedup keys', 'delayed', 'replies']) {
      expect(figures[name], name).toBeGreaterThan(0)
    }
    expect(figures['deliveries in order']).toBeGreaterThan(0)
    expect(figures['retries far from any fault']).toBeGreaterThan(0)
  },
  // Each minute of faults is followed by a time of calm.
  1.5 * faultMs + 300_000,
)
