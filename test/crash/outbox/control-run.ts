import { SeededRandom } from '../../kit/seeded-random.ts'
import { elapse, until } from '../../kit/waiting.ts'
import type { Design } from './chaos-seat.ts'
import { ChaosWorld } from './chaos-world.ts'
import type { CommittedOrder, Offence } from './order-ledger.ts'

export type Offences = Readonly<Partial<Record<Offence, number>>>

export interface ControlResult {
  /** What the harness found, by design. */
  readonly offences: ReadonlyMap<Design, Offences>
  readonly committed: ReadonlyMap<Design, number>
}

const WORKERS = 4
// Longer than the broker waits with its question.
const OPEN_MS = 2_500
const HALVES_MS_MAX = 2_000
const COMMITTED_EACH = 20
const SETTLE_MS_MAX = 30_000

/**
 * All designs at the same Postgres and broker, under the same load and faults: numbers of transactions lost in a crash are
 * given out again, COMMITs fail, transactions are asked about while they are open.
 * @param crashes of Postgres
 */
export async function runControls(designs: readonly Design[], seed: number, crashes: number): Promise<ControlResult> {
  // What was never flushed must be lost with the crash: nobody else flushes.
  const postgres = { wal_writer_delay: '10s', autovacuum: 'off' }
  // Only a swallowed error in eager mode makes a ghost of an unread tag: often enough that no run is without.
  const mix = { slow: 0, ordered: 0, delayed: 0, swallow: 0.2 }
  const broker = { transactionTimeoutMs: 1_000 }
  const random = new SeededRandom(seed)
  await using world = await ChaosWorld.start({ random, designs, workers: WORKERS, mix, postgres, broker })
  for (let crash = 0; crash < crashes; crash++) {
    await load(world)
    await hold(world)
    await world.restartPostgres()
    await advance(world)
  }
  // Once without a crash: what is asked about goes on to commit.
  await load(world)
  await hold(world)
  await elapse(OPEN_MS)
  await advance(world)
  await world.finishTransactions()
  await until(async () => (await world.halves()) === 0, SETTLE_MS_MAX)
  // What arrives late counts as arrived.
  await elapse(1_000)
  const orders = await world.orders()
  world.ledger.read()
  const offences = new Map<Design, Record<string, number>>(designs.map((design) => [design, {}]))
  for (const { offence, key } of world.ledger.findings(orders)) {
    const counts = offences.get(world.designOf(Number(key.split(/[# ]/)[0])) ?? 'outbox') ?? {}
    counts[offence] = (counts[offence] ?? 0) + 1
  }
  return { offences, committed: committedBy(world, orders) }
}

/** Until every design has committed some more. */
async function load(world: ChaosWorld): Promise<void> {
  const before = committedBy(world, await world.orders())
  await until(async () => {
    const now = committedBy(world, await world.orders())
    return world.seats.every(({ design }) => (now.get(design) ?? 0) - (before.get(design) ?? 0) >= COMMITTED_EACH)
  }, SETTLE_MS_MAX)
}

/** Everybody ends what is under way, then begins one transaction in each worker and stands still inside it. */
async function hold(world: ChaosWorld): Promise<void> {
  await advance(world, 'idle')
  await advance(world, 'held')
  // Those of the listeners at least; whoever is late may be asked about already.
  await until(async () => (await world.halves()) >= 2 * WORKERS, HALVES_MS_MAX).catch(() => {})
}

async function advance(world: ChaosWorld, state?: 'idle' | 'held'): Promise<void> {
  const count = (out: string): number => out.split(`${state}\n`).length
  const before = world.seats.map(({ program }) => count(program.out))
  for (const { program } of world.seats) program.signal('SIGUSR1')
  if (state === undefined) return
  await until(() => world.seats.every(({ program }, index) => count(program.out) > (before[index] ?? 0)), SETTLE_MS_MAX)
}

function committedBy(world: ChaosWorld, orders: readonly CommittedOrder[]): Map<Design, number> {
  const counts = new Map<Design, number>()
  for (const { id } of orders) {
    const design = world.designOf(id) ?? 'outbox'
    counts.set(design, (counts.get(design) ?? 0) + 1)
  }
  return counts
}
