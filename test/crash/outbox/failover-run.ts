import { SeededRandom } from '../../kit/seeded-random.ts'
import { elapse, until } from '../../kit/waiting.ts'
import { FaultLog } from './chaos-faults.ts'
import { judge, type OutboxChaosResult } from './chaos-run.ts'
import { ChaosWorld } from './chaos-world.ts'
import { SyncPair } from './sync-pair.ts'

export interface FailoverOptions {
  seed: number
  failovers: number
  /** `async`: the primary waits for nobody, and the standby lags when it is promoted. */
  mode: 'sync' | 'async'
}

const REPORT_MS_MAX = 20_000
const DRAIN_MS_MAX = 40_000

/** Under load the primary is killed, its standby promoted, and the apps led there; then the next standby. */
export async function failOver({ seed, failovers, mode }: FailoverOptions): Promise<OutboxChaosResult> {
  const random = new SeededRandom(seed)
  // The log must be there until the copy has fetched it.
  const postgres = { wal_keep_size: '256MB' }
  await using world = await ChaosWorld.start({ random, designs: ['outbox', 'outbox'], postgres })
  await using pair = new SyncPair(world)
  const log = new FaultLog()
  for (let turn = 0; turn < failovers; turn++) {
    const takeOver = await pair.stand(mode)
    await elapse(random.between(800, 1_500))
    await log.during('failover', `number ${turn}`, async () => {
      if (mode === 'async' || turn % 2 === 1) await pair.lag()
      await takeOver()
    })
  }
  // The last one has no standby any more.
  await pair.waitForNobody()
  await elapse(1_500)
  // Each process looks at its own pace; what none of them says is for the caller to miss.
  if (mode === 'async') {
    await until(() => world.ledger.anomalies().length >= world.seats.length, REPORT_MS_MAX).catch(() => {})
  }
  const leftovers = await world.quiesce(DRAIN_MS_MAX)
  return await judge(world, log, leftovers, { seed })
}
