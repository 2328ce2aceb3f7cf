import { SeededRandom } from '../../kit/seeded-random.ts'
import { elapse } from '../../kit/waiting.ts'
import { FaultLog, hurtApp, hurtServer } from './chaos-faults.ts'
import type { WorldOptions } from './chaos-seat.ts'
import { ChaosWorld } from './chaos-world.ts'
import type { Finding, Offence } from './order-ledger.ts'

export interface OutboxChaosOptions extends Omit<WorldOptions, 'random'> {
  seed: number
  /** How long faults happen, ms. */
  faultMs: number
  /** How long everything may take to come to rest afterwards, ms. Default 60,000. */
  drainMsMax?: number
}

export interface OutboxChaosResult {
  readonly figures: Readonly<Record<string, number>>
  readonly faults: Readonly<Record<string, number>>
  readonly findings: readonly Finding[]
  readonly anomalies: readonly string[]
  /** Halves, markers, rows that did not go away. */
  readonly leftovers: string
  /** The history of the first findings, with the faults around them. */
  readonly witness: readonly string[]
}

const offences: readonly Offence[] = ['ghost', 'lost', 'doubled', 'untrue', 'disordered']
const FINDINGS_EXPLAINED = 5
const AROUND_MS = 4_000

/** App processes, broker and Postgres, killed, frozen and cut off at random; afterwards delivered must be what was committed. */
export async function outboxChaos(options: OutboxChaosOptions): Promise<OutboxChaosResult> {
  const { seed, faultMs, drainMsMax = 60_000, ...rest } = options
  await using world = await ChaosWorld.start({ ...rest, random: new SeededRandom(seed) })
  const log = new FaultLog()
  const startedAt = Date.now()
  const isOver = (): boolean => Date.now() - startedAt > faultMs
  const serverLane = async (random: SeededRandom): Promise<void> => {
    for (;;) {
      await elapse(Math.min(random.between(2_500, 7_000), faultMs / 4))
      if (isOver()) return
      await hurtServer(world, log, random)
    }
  }
  const appLane = async (random: SeededRandom): Promise<void> => {
    for (;;) {
      await elapse(random.between(200, 1_500))
      if (isOver()) return
      await hurtApp(world, log, random.pick(world.seats), random)
    }
  }
  await Promise.all([serverLane(new SeededRandom(seed + 1)), appLane(new SeededRandom(seed + 2))])
  const faultsEndedAt = Date.now()
  const leftovers = await world.quiesce(drainMsMax)
  const drainMs = Date.now() - faultsEndedAt
  return await judge(world, log, leftovers, { seed, 'fault time s': Math.round(faultMs / 1_000), 'drain ms': drainMs })
}

/** After a last chance for what must not arrive. */
export async function judge(
  world: ChaosWorld,
  log: FaultLog,
  leftovers: string,
  rest: Readonly<Record<string, number>>,
): Promise<OutboxChaosResult> {
  await elapse(1_500)
  world.ledger.read()
  const orders = await world.orders()
  const findings = world.ledger.findings(orders)
  const counts = offences.map((name) => [name, findings.filter(({ offence }) => offence === name).length] as const)
  const anomalies = world.ledger.anomalies()
  const at = new Map(orders.map(({ id, at: committedAt }) => [id, committedAt]))
  const witness = findings.slice(0, FINDINGS_EXPLAINED).flatMap(({ offence, key }) => {
    const lines = world.ledger.history(key)
    const when = at.get(Number(key.split(/[# ]/)[0])) ?? Number(/#\d+ (\d+)/.exec(lines.join())?.[1] ?? 0)
    return [
      `${offence} ${key}, committed ${at.has(Number(key.split(/[# ]/)[0]))}, at ${when}`,
      ...lines,
      ...log.around(when - AROUND_MS, when + AROUND_MS),
    ]
  })
  const figures = {
    ...{ committed: orders.length, received: world.ledger.received, processes: world.processes },
    ...Object.fromEntries(counts),
    anomalies: anomalies.length,
    ...(world.ownsBroker ? {} : { repeats: world.ledger.repeats, parked: await world.parked() }),
    ...rest,
  }
  return { figures, faults: log.counts(), findings, anomalies, leftovers, witness }
}
