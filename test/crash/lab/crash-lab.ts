import { seededChance } from '@tandemmq/broker/simulation'
import type { HistoryEvent } from '../history.ts'
import { Aftermath } from './crash-point.ts'
import { RecordedHistory, type HistoryOptions, type Moment, type StartBroker } from './recorded-history.ts'
import { Replay } from './recorded-disk.ts'

/** What a power cut leaves of un-synced writes (FaultDiskOptions.keeps). */
export const KEEPS = ['none', 'all', 'some', 'sectors'] as const
type Keeps = (typeof KEEPS)[number]
const START_MS = 1_704_067_200_000
/** Every so manieth recovery loses its power too, and every so manieth loses it when it is done. */
const AGAIN_EVERY = 5
/** Changes of the disk the recovery is let to make at most: the start needs about ten, the rest hits its first messages. */
const AGAIN_STEPS = 40

export interface Finding {
  /** Index among the steps of the disk, and what survived of un-synced writes. */
  step: number
  keeps: Keeps
  seed: number
  wrong: string[]
}

export interface LabResult {
  /** Places in the history where the power went. */
  points: number
  recoveries: number
  /** Of them with a second power cut: in the start or its first messages, and at its end. */
  interrupted: number
  again: number
  /** Messages known to be acknowledged, over all recoveries: none may be lost. */
  promises: number
  findings: Finding[]
}

export interface Crashes {
  /** Each so manieth point (a mean), beginning with point `from`. Default 1 and 0: all. */
  every?: number
  from?: number
  /** Ways to keep and lose un-synced writes tried at each point, 1 to 4, of {@link KEEPS}. */
  variants: number
  log?: ((line: string) => void) | undefined
}

/** A recorded history, and power cuts after each step of its disk: recover, live on, judge. */
export class CrashLab {
  readonly #startBroker: StartBroker
  readonly #seed: number
  readonly history: RecordedHistory
  /** Steps of the disk after which the power may go with another outcome than before them. */
  readonly points: readonly number[]

  private constructor(history: RecordedHistory, { seed, startBroker }: HistoryOptions) {
    this.history = history
    this.points = history.disk.crashPoints()
    this.#seed = seed
    this.#startBroker = startBroker
  }

  static async open(options: HistoryOptions): Promise<CrashLab> {
    return new CrashLab(await RecordedHistory.record(options), options)
  }

  async crash({ every = 1, from = 0, variants, log }: Crashes): Promise<LabResult> {
    const result: LabResult = { points: 0, recoveries: 0, interrupted: 0, again: 0, promises: 0, findings: [] }
    const replay = new Replay(this.history.disk)
    for (let at = from; at < this.points.length; at += every) {
      const step = this.points[Math.floor(at)] as number
      replay.advanceTo(step)
      // What the clients saw before the next step that changes the disk, they saw with this disk.
      const moment = momentAt(this.history, this.points[Math.floor(at) + 1] ?? Infinity)
      const acknowledged = moment.events.filter(({ event }) => event === 'send.ok').length
      for (let variant = 0; variant < variants; variant++) {
        const keeps = KEEPS[(result.points + variant) % KEEPS.length] as Keeps
        const seed = this.#seed * 1_000_003 + step * 31 + variant
        const wrong = await this.#crashOnce({ replay, moment, keeps, seed, result })
        result.recoveries++
        result.promises += acknowledged
        if (wrong.length > 0) result.findings.push({ step, keeps, seed, wrong })
      }
      result.points++
      if (result.points % 250 === 0) log?.(`${result.points} points, ${result.findings.length} wrong`)
    }
    return result
  }

  async #crashOnce(crash: {
    replay: Replay
    moment: Moment
    keeps: Keeps
    seed: number
    result: LabResult
  }): Promise<string[]> {
    const { replay, moment, keeps, seed, result } = crash
    const chance = seededChance(seed)
    const aftermath = new Aftermath(moment, this.#startBroker)
    const soon = (end: () => void): void => void queueMicrotask(end)
    const second = Math.floor(chance() * AGAIN_EVERY)
    const crashAt = second === 0 ? { crashAt: 1 + Math.floor(chance() * AGAIN_STEPS) } : {}
    try {
      let disk = replay.disk.survivors({ keeps, seed, soon, ...crashAt })
      if (second === 0) {
        await aftermath.live(disk).catch((error: unknown) => {
          if (!disk.isDead) throw error
        })
        if (disk.isDead) result.interrupted++
        disk = disk.powerCut({ seed: seed + 1, soon })
      }
      await aftermath.live(disk)
      if (second === 1) {
        result.again++
        await aftermath.live(disk.powerCut({ seed: seed + 2, soon }))
      }
    } catch (error) {
      return [`the recovery failed: ${error instanceof Error ? error.message : String(error)}`]
    }
    return aftermath.violations().map(({ rule, text }) => `${rule}: ${text}`)
  }
}

function momentAt(history: RecordedHistory, nextStep: number): Moment {
  const { events, steps } = history.ledger
  let count = 0
  while (count < events.length && (steps[count] as number) <= nextStep) count++
  const known: HistoryEvent[] = events.slice(0, count)
  const last = known.at(-1)
  return { events: known, now: (last?.t ?? 0) / 1e6, wall: last?.wall ?? START_MS }
}
