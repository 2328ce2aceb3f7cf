import { SeededRandom } from '../../kit/seeded-random.ts'
import { elapse, until } from '../../kit/waiting.ts'
import { HistoryReader } from '../history.ts'
import { AtLeastOnce } from '../rules/at-least-once.ts'
import type { ChaosEvent, Violation } from '../rules/event.ts'
import { ChaosWorld } from './chaos-world.ts'
import { hurtBroker, hurtClient } from './faults.ts'
import { groups } from './groups.mjs'
import { judge } from './judge.ts'

export interface ChaosOptions {
  seed: number
  /** How long faults happen, ms, times of calm not counted. What was sent must arrive after that. */
  faultMs: number
  /** Default 4. */
  producers?: number
  /** Default 6. */
  consumers?: number
  /** How long messages may take to arrive after the last fault, ms; locks of dead members last 60 s. Default 120,000. */
  drainMsMax?: number
  /** More of the environment of broker and clients: makes them other programs. */
  env?: Readonly<Record<string, string>>
}

/** So long faults follow one another, then there is a time of calm. */
const STORM_MS = 60_000
/** Longer than what follows a fault by 10 s: what happens in the rest of it has nothing broken near, and must come in time. */
const CALM_MS = 18_000

export interface ChaosResult {
  readonly figures: Readonly<Record<string, number>>
  readonly violations: readonly Violation[]
  readonly witness: readonly string[]
}

/**
 * The real program, four producers and six consumers with a member of every kind of group each, all processes of their own; and
 * broker, clients and connections that are killed, stopped and cut at random.
 */
export async function chaos(options: ChaosOptions): Promise<ChaosResult> {
  const { seed, faultMs, producers = 4, consumers = 6, drainMsMax = 120_000, env } = options
  const randoms = [1, 2, 3].map((n) => new SeededRandom(seed + n))
  await using world = await ChaosWorld.start({
    ...{ random: new SeededRandom(seed), producers, consumers },
    ...(env === undefined ? {} : { env }),
  })
  using stallWatch = world.watchStalls()
  for (let leftMs = faultMs; leftMs > 0; leftMs -= STORM_MS) {
    await storm(world, Math.min(leftMs, STORM_MS), randoms)
    await elapse(CALM_MS)
  }
  const drainMs = await drain(world, drainMsMax)
  stallWatch[Symbol.dispose]()
  await world.finish()
  const verdict = judge(world.histories)
  return {
    figures: { ...verdict.figures, 'fault time s': Math.round(faultMs / 1_000), 'drain ms': Math.round(drainMs), seed },
    violations: [...world.misbehaved, ...verdict.violations],
    witness: verdict.witness,
  }
}

/** Faults for so long; all of them are over at its end. */
async function storm(world: ChaosWorld, ms: number, randoms: readonly SeededRandom[]): Promise<void> {
  const [ofBroker, ...ofClients] = randoms
  const startedAt = performance.now()
  const isOver = (): boolean => performance.now() - startedAt > ms
  const brokerLane = async (random: SeededRandom): Promise<void> => {
    while (!isOver()) {
      await elapse(Math.min(random.between(1_500, 8_000), ms / 4))
      await hurtBroker(world, random)
    }
  }
  // Two lanes with half of the clients each, so that two clients are hurt at once, and never one twice.
  const clientLane = async (random: SeededRandom, half: number): Promise<void> => {
    const mine = world.clients.filter((_, index) => index % 2 === half)
    while (!isOver()) {
      await elapse(random.between(100, 1_200))
      await hurtClient(world, random.pick(mine), random)
    }
  }
  await Promise.all([brokerLane(ofBroker as SeededRandom), ...ofClients.map(clientLane)])
}

/**
 * Lease groups whose messages die soon, and how long the last steps of that may take: what could not become a dead letter is tried
 * again 10 s after the client found the broker again, for which it may pause 5 s and a half.
 */
const mortal = new Set(
  groups.filter(({ mode, attemptsMax }) => mode === 'lease' && attemptsMax < 10).map(({ group }) => group),
)
const MORTAL_MS = 22_000

/** No more sends; waits until nobody misses anything. @returns how long that took, ms */
export async function drain(world: ChaosWorld, msMax: number): Promise<number> {
  for (const { program } of world.producers) program.signal('SIGUSR2')
  await until(
    () => world.producers.every(({ program }) => program.out.includes('done\n')),
    60_000,
    () => world.producers.map(({ program }) => program.err).join('\n'),
  )
  const startedAt = performance.now()
  const reader = new HistoryReader(world.histories)
  const watch = new AtLeastOnce({ expectsDeadLetters: true })
  let missing = ''
  let changedAt = performance.now()
  const isDrained = async (): Promise<boolean> => {
    await elapse(300)
    reader.read((event) => watch.take(event as unknown as ChaosEvent))
    const left = watch.missing()
    const now = left.map(({ id, reader: group }) => `${id} ${group}`).join()
    if (now !== missing) changedAt = performance.now()
    missing = now
    // Leases count what died with a process before its handler began: their last attempt may be one that nobody saw.
    return (
      left.every(({ reader: group }) => mortal.has(group)) &&
      performance.now() - changedAt > (now === '' ? 0 : MORTAL_MS)
    )
  }
  // What is missing after that is told by the judge.
  await until(isDrained, msMax).catch(() => undefined)
  const drainMs = performance.now() - startedAt
  // Delays of those cancelled, and check-backs of what must not arrive, get their chance to be wrong.
  await elapse(Math.min(4_000, msMax))
  return drainMs
}
