import type { Clock, Timer } from '@tandemmq/remoting'
import { type GroupLine, PENDING } from './group-line.ts'
import type { HeldGroup } from './types.ts'

/** Check-backs settle what is only lost on the way long before. */
const ALARM_AFTER_MS = 60_000
const SAID_AGAIN_MS = 600_000

/** Looks at the groups that hold messages back, and says so when one does for long. */
export class HoldingWatch {
  readonly #clock: Clock
  readonly #holding: ReadonlySet<GroupLine>
  readonly #log: (line: string) => void
  #timer: Timer | undefined
  #saidAt = Number.NEGATIVE_INFINITY

  constructor(options: { clock: Clock; holding: ReadonlySet<GroupLine>; log: (line: string) => void }) {
    this.#clock = options.clock
    this.#holding = options.holding
    this.#log = options.log
  }

  start(): void {
    this.#timer = this.#clock.setTimer(ALARM_AFTER_MS, () => {
      this.#look()
      this.start()
    })
  }

  close(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  oldestMs(): number {
    for (const line of this.#holding) return Math.max(0, this.#clock.now() - line.heldSince)
    return 0
  }

  describe(line: GroupLine): HeldGroup {
    const { topic, held, heldBytes, heldSince } = line
    return {
      topic,
      key: Buffer.from(line.key, 'latin1').toString('utf8'),
      held,
      heldBytes,
      heldForMs: Math.max(0, this.#clock.now() - heldSince),
      waitsFor: line.firstRecord === PENDING ? line.firstPlace : undefined,
    }
  }

  #look(): void {
    const [oldest] = this.#holding
    if (oldest === undefined || this.oldestMs() < ALARM_AFTER_MS) return
    const now = this.#clock.monotonic()
    if (now - this.#saidAt < SAID_AGAIN_MS) return
    this.#saidAt = now
    const { topic, key, held, heldForMs, waitsFor } = this.describe(oldest)
    const others = this.#holding.size === 1 ? '' : `, and ${this.#holding.size - 1} other keys wait`
    const forWhom = waitsFor === undefined ? '' : ` for the half message at ${waitsFor}, which nobody settles`
    this.#log(
      `${held} messages to ${topic} with the key ${JSON.stringify(key)} wait since ${Math.round(heldForMs / 1000)} s${forWhom}${others}`,
    )
  }
}
