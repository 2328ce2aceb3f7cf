import { expect, test } from 'vitest'
import { failOver } from './failover-run.ts'

// `npm run crash:outbox -- failover --rounds 20 --seed 7` runs this at length.
const failovers = Number(process.env['CRASH_ROUNDS'] ?? 1)
const seed = Number(process.env['CRASH_SEED'] ?? 1)

test(
  'failover to a synchronous standby loses, invents and doubles nothing, and is no anomaly',
  async () => {
    const { figures, findings, anomalies, leftovers, witness } = await failOver({ seed, failovers, mode: 'sync' })
    console.log(JSON.stringify(figures))
    expect(
      { findings: findings.slice(0, 10), anomalies: anomalies.slice(0, 10), leftovers },
      witness.join('\n'),
    ).toEqual({
      findings: [],
      anomalies: [],
      leftovers: '',
    })
    expect(figures['committed']).toBeGreaterThan(20 * failovers)
  },
  90_000 + failovers * 30_000,
)

test('X3: failover to an asynchronous standby that lags takes commits back, and every process reports it', async () => {
  const { figures, anomalies } = await failOver({ seed, failovers: 1, mode: 'async' })
  console.log(JSON.stringify(figures))
  // Nobody can prevent it: the effects are gone, the messages are out.
  expect(figures['ghost']).toBeGreaterThan(0)
  const told = anomalies.filter((line) => line.includes('without a synchronous standby'))
  expect(told.length).toBe(2)
}, 120_000)
