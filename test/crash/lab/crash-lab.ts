import { seededChance } from '@tandemmq/broker/simulation'
import type { HistoryEvent } from '../history.ts'
import { Aftermath, type Moment } from './crash-point.ts'
import { RecordedHistory, type HistoryOptions, type StartBroker } from './recorded-history.ts'
import { Replay } from './recorded-disk.ts'

const KEEPS = ['none', 'all', 'some', 'sectors'] as const
type Keeps = (typeof KEEPS)[number]
const START_MS = 1_704_067_200_000
/** Every so manieth point the power goes again, in the first start or after it. */
const AGAIN_EVERY = 5

export interface Finding {
  /** Index among the steps of the disk, and what survived of un-synced writes. */
  step: number
  keeps: Keeps
  seed: number
  wrong: string[]
}

export interface LabResult {
  /** Places in the history where the power may go, and recoveries tried. */
  points: number
  recoveries: number
  /** Of them with a second power cut: in the middle of the recovery, and after it. */
  inRecovery: number
  again: number
  acknowledged: number
  findings: Finding[]
}

export interface LabOptions extends HistoryOptions {
  /** Variants of what survives at each point. */
  seeds: number
  /** Points to try, spread over the history. Default all. */
  pointsMax?: number
  /** Stop at the first finding. */
  untilFound?: boolean
  log?(line: string): void
}

/** Crash after every step of the disk in a recorded history, recover, live on, judge. */
export async function crashEverywhere(options: LabOptions): Promise<LabResult> {
  const { seeds, pointsMax = Infinity, startBroker } = options
  const history = await RecordedHistory.record(options)
  const points = history.disk.crashPoints()
  const chosen = spread(points, pointsMax)
  const result: LabResult = {
    points: points.length,
    recoveries: 0,
    inRecovery: 0,
    again: 0,
    acknowledged: 0,
    findings: [],
  }
  result.acknowledged = history.ledger.events.filter(({ event }) => event === 'send.ok').length
  const replay = new Replay(history.disk)
  for (const [number, at] of chosen.entries()) {
    const step = points[at] as number
    replay.advanceTo(step)
    // What the clients saw before the next step that changes the disk, they saw with this disk.
    const moment = momentAt(history, points[at + 1] ?? Infinity)
    for (let variant = 0; variant < seeds; variant++) {
      const keeps = KEEPS[(number + variant) % KEEPS.length] as Keeps
      const seed = options.seed * 1_000_003 + step * 31 + variant
      const wrong = await crashOnce({ replay, moment, keeps, seed, startBroker, result })
      result.recoveries++
      if (wrong.length > 0) result.findings.push({ step, keeps, seed, wrong })
      if (options.untilFound === true && wrong.length > 0) return result
    }
    if ((number + 1) % 250 === 0)
      options.log?.(`${number + 1} of ${chosen.length} points, ${result.findings.length} wrong`)
  }
  return result
}

async function crashOnce(crash: {
  replay: Replay
  moment: Moment
  keeps: Keeps
  seed: number
  startBroker: StartBroker
  result: LabResult
}): Promise<string[]> {
  const { replay, moment, keeps, seed, startBroker, result } = crash
  const chance = seededChance(seed)
  const aftermath = new Aftermath(moment, startBroker)
  const soon = (end: () => void): void => void queueMicrotask(end)
  const twice = result.recoveries % AGAIN_EVERY
  try {
    let disk = replay.disk.survivors({
      keeps,
      seed,
      soon,
      ...(twice === 0 && { crashAt: 1 + Math.floor(chance() * 12) }),
    })
    if (twice === 0) {
      await aftermath.live(disk).catch((error: unknown) => {
        if (!disk.isDead) throw error
      })
      if (disk.isDead) result.inRecovery++
      disk = disk.powerCut({ seed: seed + 1, soon })
    }
    await aftermath.live(disk)
    if (twice === 1) {
      result.again++
      await aftermath.live(disk.powerCut({ seed: seed + 2, soon }))
    }
  } catch (error) {
    return [`the recovery failed: ${error instanceof Error ? error.message : String(error)}`]
  }
  return aftermath.violations().map(({ rule, text }) => `${rule}: ${text}`)
}

function momentAt(history: RecordedHistory, nextStep: number): Moment {
  const { events, steps } = history.ledger
  let count = 0
  while (count < events.length && (steps[count] as number) <= nextStep) count++
  const known: HistoryEvent[] = events.slice(0, count)
  const last = known.at(-1)
  return { events: known, now: (last?.t ?? 0) / 1e6, wall: last?.wall ?? START_MS }
}

/** Indexes of at most `max` of them, evenly spread. */
function spread(points: readonly number[], max: number): number[] {
  const every = Math.max(1, points.length / max)
  const chosen: number[] = []
  for (let at = 0; at < points.length; at += every) chosen.push(Math.floor(at))
  return chosen
}
