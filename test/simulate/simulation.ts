import { createHash } from 'node:crypto'
import type { TopicOptions } from '@tandemmq/client'
import { HistoryChecker, type HistoryReport } from '../crash/history-checker.ts'
import type { HistoryEvent } from '../crash/history.ts'
import { ClockActor } from './clock-actor.ts'
import { Faults } from './faults.ts'
import { GroupActor } from './group-actor.ts'
import { OperatorActor } from './operator-actor.ts'
import { drawGroups } from './plans.ts'
import { ProducerActor } from './producer-actor.ts'
import type { Product } from './product.ts'
import { QuestionActor } from './question-actor.ts'
import { TransactionActor } from './transaction-actor.ts'
import { UrgentActor } from './urgent-actor.ts'
import { World } from './world.ts'

export interface SimulationOptions {
  readonly seed: number
  /** Virtual time after which no new round begins. */
  readonly minutes: number
  readonly product: Product
  readonly trace?: string[] | undefined
}

export interface SimulationResult {
  readonly seed: number
  readonly virtualMs: number
  readonly events: readonly HistoryEvent[]
  /** Of all events and of every byte on the disk at the end. */
  readonly digest: string
  readonly report: HistoryReport
  /** What is wrong, each with the ids it is about. */
  readonly wrong: readonly { readonly text: string; readonly ids: readonly string[] }[]
  readonly faults: number
}

/** Longer than connections, locks and leases of the dead are missed. */
const SETTLE_MS = 100_000
const CALM_MS = 40_000
/** All retries and delays of what is under way, several times. */
const DRAIN_MS = 900_000
const LOOK_MS = 5_000
const PRIORITIES = 3
/** Positions are committed every few seconds. */
const COMMIT_MS = 12_000

/** Rounds of storm, calm and drain; after each the whole history is judged. Everything follows from the seed. */
export class Simulation {
  readonly #world: World
  readonly #options: SimulationOptions
  readonly #checker: HistoryChecker
  readonly #groups: readonly GroupActor[]
  readonly #producers: (ProducerActor | TransactionActor | UrgentActor | QuestionActor)[]
  readonly #topics: Readonly<Record<string, TopicOptions>>
  readonly #clock: ClockActor
  readonly #payments: TransactionActor
  readonly #operator: OperatorActor
  readonly #faults: Faults
  #taken = 0

  private constructor(options: SimulationOptions) {
    const world = (this.#world = new World(options))
    this.#options = options
    this.#checker = new HistoryChecker({ dedupWindowMs: world.settings.broker.dedupWindowMs as number })
    this.#groups = drawGroups(world).map((plan) => new GroupActor(world, plan))
    this.#payments = new TransactionActor(world, '10.0.0.2', 'orders')
    const mixed = ['plain', 'dedup', 'dedup', 'batch', 'delayed', 'delayed'] as const
    this.#producers = [
      this.#payments,
      new ProducerActor(world, { name: 'shop', address: '10.0.0.3', topic: 'orders', kinds: mixed, pauseMs: 2_000 }),
      new ProducerActor(world, {
        name: 'clerk',
        address: '10.0.0.4',
        topic: 'ledger',
        kinds: ['ordered'],
        pauseMs: 3_000,
      }),
      new ProducerActor(world, {
        name: 'guide',
        address: '10.0.0.5',
        topic: 'fleeting',
        kinds: ['plain', 'delayed'],
        pauseMs: 6_000,
      }),
    ]
    const { orders, ledger, fleeting } = world.settings.queues
    const wanted = new Set(this.#groups.map(({ plan }) => plan.topic))
    this.#topics = {
      orders: { queues: orders },
      ledger: { queues: ledger },
      fleeting: { queues: fleeting },
      ...(wanted.has('urgent') && { urgent: { queues: PRIORITIES, type: 'priority' } }),
      ...(wanted.has('questions') && { questions: { queues: 2 } }),
    }
    if (wanted.has('urgent')) {
      this.#producers.push(new UrgentActor(world, { address: '10.0.0.7', topic: 'urgent', priorities: PRIORITIES }))
    }
    if (wanted.has('questions')) {
      this.#producers.push(new QuestionActor(world, { address: '10.0.0.8', topic: 'questions', group: 'clerks' }))
    }
    this.#clock = new ClockActor(world)
    this.#operator = new OperatorActor(world, this.#groups, ['fleeting'], '10.0.0.6')
    this.#faults = new Faults(world, this.#groups, this.#producers)
  }

  static async run(options: SimulationOptions): Promise<SimulationResult> {
    const simulation = new Simulation(options)
    const { clock } = simulation.#world
    return clock.run(simulation.#day(), options.minutes * 60_000 + 24 * 3_600_000)
  }

  async #day(): Promise<SimulationResult> {
    const world = this.#world
    await world.startBroker()
    await this.#operator.start(this.#topics)
    for (const producer of this.#producers) producer.start()
    for (const group of this.#groups) for (const member of group.members) void group.start(member)
    void this.#operator.work()
    void this.#clock.work()
    const random = world.random('day')
    let wrong: SimulationResult['wrong'] = []
    do wrong = await this.#round(30_000 + random.next() * 60_000)
    while (wrong.length === 0 && world.clock.monotonic() < this.#options.minutes * 60_000)
    return this.#end(wrong)
  }

  /** @returns what is wrong with all that happened so far */
  async #round(stormMs: number): Promise<SimulationResult['wrong']> {
    const world = this.#world
    await this.#faults.storm(stormMs)
    world.isSettling = true
    await world.sleep(SETTLE_MS)
    world.isSettling = false
    await world.sleep(CALM_MS)
    world.isDraining = true
    this.#clock.settle()
    await this.#drain()
    const problems: { text: string; ids: string[] }[] = []
    try {
      await this.#operator.audit(Object.keys(this.#topics), this.#payments.undecided)
    } catch (error) {
      problems.push({ text: `the audit failed: ${String(error)}`, ids: [] })
    }
    this.#take()
    world.isDraining = false
    problems.push(...world.crashes.map((text) => ({ text: `crash of ${text}`, ids: [] })))
    for (const { rule, text, ids } of this.#checker.report().violations) {
      problems.push({ text: `${rule}: ${text}`, ids: [...ids] })
    }
    return problems
  }

  async #drain(): Promise<void> {
    const until = this.#world.clock.monotonic() + DRAIN_MS
    do {
      do await this.#world.sleep(LOOK_MS)
      while (!this.#isDone() && this.#world.clock.monotonic() < until)
      await this.#world.sleep(COMMIT_MS)
    } while (!this.#isDone() && this.#world.clock.monotonic() < until)
  }

  #isDone(): boolean {
    this.#take()
    const stats = this.#world.broker?.stats()
    // A message the group was moved back to may be finished, and a retry of its first life still wait.
    if (stats === undefined || stats.delay.pending + stats.leases.live > 0) return false
    return this.#checker.missing().length === 0 && this.#checker.unfinished().length === 0
  }

  #take(): void {
    const { events } = this.#world
    for (; this.#taken < events.length; this.#taken++) this.#checker.take(events[this.#taken] as HistoryEvent)
  }

  async #end(wrong: SimulationResult['wrong']): Promise<SimulationResult> {
    const world = this.#world
    const virtualMs = world.clock.monotonic()
    const digest = createHash('sha256').update(JSON.stringify(world.events)).update(world.digest()).digest('hex')
    const { seed } = world
    const { events } = world
    world.isOver = true
    return { seed, virtualMs, events, digest, report: this.#checker.report(), wrong, faults: this.#faults.count }
  }
}
