import { existsSync, readFileSync } from 'node:fs'
import { SeededRandom } from '../../kit/seeded-random.ts'
import { elapse, until } from '../../kit/waiting.ts'
import type { Seat } from './chaos-seat.ts'
import { ChaosWorld } from './chaos-world.ts'
import { type Fault, points, requiredEnd } from './matrix-table.ts'
import { SyncPair } from './sync-pair.ts'

export interface CellResult {
  readonly point: string
  /** What the table requires, and what came out: `C`, `F` (a message through the table), `R`, or what is wrong. */
  readonly required: string
  readonly found: string
}

export interface ColumnResult {
  readonly cells: readonly CellResult[]
  readonly leftovers: string
  readonly anomalies: readonly string[]
}

type Cell = Seat & { readonly point: string }

const STEP_MS_MAX = 40_000
const IDLE_TIMEOUT_MS = 800
const PATIENCE_MS = 60_000
const CUT_MS = 2_000
/** Where no fault keeps a half from its answer, a busy machine must not send it through the table before its point. */
const HALF_TIMEOUT_MS: Partial<Record<Fault, number>> = { 'app-broker cut': 3_000, 'broker kill -9, restart': 3_000 }
const drivers = ['pg', 'knex'] as const
const modes = ['eager', 'late'] as const

/** A process for each point, each with one transaction, stands still or dies at its point; then the fault of the column. */
export class MatrixWorld implements AsyncDisposable {
  readonly #world: ChaosWorld
  readonly #pair: SyncPair | undefined

  private constructor(world: ChaosWorld, pair: SyncPair | undefined) {
    this.#world = world
    this.#pair = pair
  }

  /** @param failover also with a second Postgres */
  static async start(seed: number, failover = false): Promise<MatrixWorld> {
    const random = new SeededRandom(seed)
    const postgres = { wal_keep_size: '256MB' }
    const world = await ChaosWorld.start({ random, designs: ['outbox'], workers: 0, postgres })
    return new MatrixWorld(world, failover ? new SyncPair(world) : undefined)
  }

  /** One round of a column: all its points. @param variant which driver and mode */
  async column(fault: Fault, variant: number): Promise<ColumnResult> {
    const world = this.#world
    const standby = fault === 'sync failover' ? await this.#pair?.stand() : undefined
    const action = fault === 'app kill -9' ? 'kill' : 'stop'
    const [ways] = world.seats
    if (ways === undefined) throw new Error('no seat')
    const cells = points.map((point): Cell => {
      const cell = { ...ways, point }
      const idle = fault.startsWith('app SIGSTOP') || fault === 'app-postgres cut' ? IDLE_TIMEOUT_MS : PATIENCE_MS
      const halfTimeoutMs = HALF_TIMEOUT_MS[fault] ?? PATIENCE_MS
      const outbox = { idleInTransactionTimeoutMs: idle, selfCheckTimeoutMs: PATIENCE_MS, halfTimeoutMs }
      const mix = { ...plain, mode: modes[(variant >> 1) % modes.length] }
      const settings = { workers: 1, orders: 1, driver: drivers[variant % drivers.length], mix, outbox }
      world.launch(cell, settings, { TANDEM_FAILPOINT: `${point}:${action}@1` })
      return cell
    })
    if (action === 'kill') await Promise.all(cells.map((cell) => dies(cell)))
    else {
      await Promise.all(cells.map((cell) => standsStill(cell)))
      await this.#play(fault, cells, standby)
      await Promise.all(cells.map((cell) => finishes(cell)))
    }
    await this.#pair?.waitForNobody()
    const leftovers = await this.#settle()
    const found = await this.#ends(cells, fault)
    return { cells: found, leftovers, anomalies: world.ledger.anomalies() }
  }

  async #play(fault: Fault, cells: readonly Seat[], standby: (() => Promise<void>) | undefined): Promise<void> {
    const world = this.#world
    const [ways] = world.seats
    if (ways === undefined) throw new Error('no seat')
    const thaw = (): void => cells.forEach(({ program }) => program.signal('SIGCONT'))
    switch (fault) {
      case 'app SIGSTOP past the idle timeout, SIGCONT':
        await elapse(1.5 * IDLE_TIMEOUT_MS)
        return thaw()
      case 'postgres kill -9, restart':
        await world.restartPostgres()
        return thaw()
      case 'sync failover':
        await standby?.()
        return thaw()
      case 'broker kill -9, restart':
        await world.restartBroker()
        return thaw()
      case 'app-broker cut':
        ways.broker.cut()
        thaw()
        // Nobody needs the broker to come to an end.
        await Promise.all(cells.map((cell) => isDone(cell)))
        return ways.broker.heal()
      case 'app-postgres cut':
        ways.postgres.cut()
        thaw()
        await elapse(CUT_MS)
        return ways.postgres.heal()
      default:
        throw new Error(`${fault} is played before anybody stands still`)
    }
  }

  /** @returns what waits although everybody who could settle it had the time, '' for nothing */
  async #settle(): Promise<string> {
    await this.#world.freeRows()
    const heir = await this.#world.heir()
    let left = ''
    await until(async () => {
      await heir.sweep().catch(() => 0)
      left = await this.#world.unsettled().catch((error: Error) => error.message)
      return left === ''
    }, STEP_MS_MAX).catch(() => {})
    await heir.close()
    return left
  }

  async #ends(cells: readonly Cell[], fault: Fault): Promise<CellResult[]> {
    const { ledger } = this.#world
    const orders = new Map((await this.#world.orders()).map((order) => [order.id, order]))
    const due = cells.flatMap(({ firstId }) => orders.get(firstId) ?? [])
    await until(() => {
      ledger.read()
      return ledger.missing(due) === 0
    }, STEP_MS_MAX).catch(() => {})
    const wrong = ledger.findings([...orders.values()])
    return cells.map(({ point, firstId, name }) => {
      const offences = wrong.filter(({ key }) => Number(key.split(/[# ]/)[0]) === firstId)
      const forwarded = ledger.history(String(firstId)).some((line) => line.endsWith(':f'))
      const end = orders.has(firstId) ? (forwarded ? 'F' : 'C') : 'R'
      const found = offences.length === 0 ? end : offences.map(({ offence }) => offence).join()
      const told = fault === 'app kill -9' || existsSync(`${this.#world.directory}/${name}.told`)
      return { point, required: requiredEnd(point, fault), found: told ? found : 'nobody was told' }
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pair?.[Symbol.asyncDispose]()
    await this.#world[Symbol.asyncDispose]()
  }
}

const plain = {
  ...{ rollBack: 0, swallow: 0, defer: 0, slow: 0, savepoint: 0, ordered: 0, delayed: 0 },
  messages: 1,
}

/** `R|C` allows both, `C` also the message that went through the table, `N` is seen as `R`. */
export function isAllowed({ required, found }: CellResult): boolean {
  if (required === 'R|C') return ['R', 'C', 'F'].includes(found)
  if (required === 'C') return ['C', 'F'].includes(found)
  return found === (required === 'N' ? 'R' : required)
}

async function dies({ program, name }: Seat): Promise<void> {
  await until(
    () => !program.isAlive,
    STEP_MS_MAX,
    () => `${name} lives on: ${program.out} ${program.err}`,
  )
}

async function standsStill({ program, name }: Seat): Promise<void> {
  const stat = `/proc/${program.pid}/stat`
  const isStill = (): boolean => existsSync(stat) && /\) T /.test(readFileSync(stat, 'utf8'))
  await until(isStill, STEP_MS_MAX, () => `${name} ${program.out} ${program.err}`)
}

function isDone({ program, name }: Seat): Promise<void> {
  const explain = (): string => `${name} ${program.out} ${program.err}`
  return until(() => program.out.includes('done\n'), STEP_MS_MAX, explain)
}

async function finishes(cell: Seat): Promise<void> {
  const { program, name } = cell
  await isDone(cell)
  const end = await program.stop('SIGTERM', 30_000)
  if (end !== '0') throw new Error(`${name} ended with ${end}: ${program.err}`)
}
