import type { SeededRandom } from '../../kit/seeded-random.ts'
import { elapse } from '../../kit/waiting.ts'
import type { Seat } from './chaos-seat.ts'
import type { ChaosWorld } from './chaos-world.ts'
import type { StreamProxy } from './stream-proxy.ts'

export interface FaultRecord {
  readonly kind: string
  readonly target: string
  readonly from: number
  until: number
}

/** What was done, by whom to find when a message went wrong. */
export class FaultLog {
  readonly records: FaultRecord[] = []

  async during(kind: string, target: string, act: () => Promise<void>): Promise<void> {
    const record: FaultRecord = { kind, target, from: Date.now(), until: Number.POSITIVE_INFINITY }
    this.records.push(record)
    await act()
    record.until = Date.now()
  }

  has(kind: string): boolean {
    return this.records.some((record) => record.kind === kind)
  }

  counts(): Record<string, number> {
    const counts: Record<string, number> = {}
    for (const { kind } of this.records) counts[kind] = (counts[kind] ?? 0) + 1
    return counts
  }

  /** Faults between these instants, ms since 1970. */
  around(from: number, until: number): string[] {
    return this.records
      .filter((record) => record.from <= until && record.until >= from)
      .map(({ kind, target, from: began, until: ended }) => `${kind} ${target} ${began}..${ended}`)
  }
}

type AppFault = (world: ChaosWorld, seat: Seat, random: SeededRandom) => Promise<void>

const killApp: AppFault = async (world, seat, random) => {
  await seat.program.stop('SIGKILL')
  await elapse(random.between(0, 500))
  world.launch(seat)
}

const freeze =
  (leastMs: number, mostMs: number): AppFault =>
  async (_, seat, random) => {
    seat.program.signal('SIGSTOP')
    await elapse(random.between(leastMs, mostMs))
    seat.program.signal('SIGCONT')
  }

type Side = 'postgres' | 'broker'
const through =
  (side: Side, act: (proxy: StreamProxy, random: SeededRandom) => Promise<void>): AppFault =>
  (_, seat, random) =>
    act(seat[side], random)

async function cut(proxy: StreamProxy, random: SeededRandom): Promise<void> {
  proxy.cut()
  await elapse(random.between(100, 2_000))
  proxy.heal()
}

async function delay(proxy: StreamProxy, random: SeededRandom): Promise<void> {
  proxy.delayMs = random.between(2, 60)
  await elapse(random.between(300, 1_500))
  proxy.delayMs = 0
}

/** What is asked meanwhile is done, and nobody hears of it. */
async function loseReplies(proxy: StreamProxy, random: SeededRandom): Promise<void> {
  proxy.cut('reply')
  await elapse(random.between(5, 200))
  proxy.reset()
  proxy.heal()
}

async function reset(proxy: StreamProxy): Promise<void> {
  proxy.reset()
}

/** Name, how often compared with the others, what. */
const appFaults: readonly (readonly [string, number, AppFault])[] = [
  ['kill app', 6, killApp],
  ['freeze app', 3, freeze(50, 600)],
  ['freeze app past the idle timeout', 3, freeze(1_200, 2_500)],
  ['cut app-postgres', 2, through('postgres', cut)],
  ['cut app-broker', 2, through('broker', cut)],
  ['delay app-postgres', 1, through('postgres', delay)],
  ['delay app-broker', 1, through('broker', delay)],
  ['reset app-postgres', 2, through('postgres', reset)],
  ['reset app-broker', 2, through('broker', reset)],
  ['lose replies of postgres', 3, through('postgres', loseReplies)],
  ['lose replies of broker', 3, through('broker', loseReplies)],
]
const appDice = appFaults.flatMap((fault) => Array.from({ length: fault[1] }, () => fault))

/** One fault of one app, from its beginning to its end; the first is a kill, all are with a broker of others. */
export function hurtApp(world: ChaosWorld, log: FaultLog, seat: Seat, random: SeededRandom): Promise<void> {
  const [kind, , act] = log.has('kill app') && world.ownsBroker ? random.pick(appDice) : ['kill app', 1, killApp]
  return log.during(kind, seat.name, () => act(world, seat, random))
}

/** One fault of a server, until it serves again; kills of both come first. The broker of others is left alone. */
export function hurtServer(world: ChaosWorld, log: FaultLog, random: SeededRandom): Promise<void> {
  if (!world.ownsBroker) return log.during('kill postgres', 'postgres', () => world.restartPostgres())
  const dice = log.has('kill postgres') && !log.has('kill broker') ? 0.5 : random.next()
  if (dice < 0.5 || !log.has('kill postgres'))
    return log.during('kill postgres', 'postgres', () => world.restartPostgres())
  if (dice < 0.85) return log.during('kill broker', 'broker', () => world.restartBroker())
  return log.during('freeze broker', 'broker', async () => {
    world.broker.signal('SIGSTOP')
    await elapse(random.between(100, 1_500))
    world.broker.signal('SIGCONT')
  })
}
