import type { World } from './world.ts'

const HOUR = 3_600_000
const TO_1970 = -1_704_067_200_000
const TO_2106 = 4_294_967_296_000 - 1_704_067_200_000
const JUMPS = [HOUR, -HOUR, 600_000, -600_000, 5_000, -5_000, 0] as const
const LEAPS = [TO_1970, TO_2106] as const

/** Sets the wall clock of the broker's machine, in storms and in calms; nothing but time itself may follow from that. */
export class ClockActor {
  readonly #world: World
  readonly #random
  readonly #isThere: boolean
  readonly #leaps: boolean
  #highestMs = 0

  constructor(world: World) {
    this.#world = world
    this.#random = world.random('clock')
    this.#isThere = this.#random.next() < 0.5
    this.#leaps = this.#random.next() < 0.15
  }

  async work(): Promise<void> {
    const world = this.#world
    while (this.#isThere && !world.isOver) {
      await world.sleep(2_000 + this.#random.next() * 60_000)
      const isLeap = this.#leaps && this.#random.next() < 0.3
      const offsetMs = this.#random.pick(isLeap ? LEAPS : JUMPS)
      if (!world.isDraining && !world.isOver) this.#set(offsetMs)
    }
  }

  /** To the latest it has ever shown: what waits for a time is not kept waiting for longer than it asked. */
  settle(): void {
    if (this.#isThere) this.#set(this.#highestMs)
  }

  #set(offsetMs: number): void {
    this.#highestMs = Math.max(this.#highestMs, offsetMs)
    this.#world.setBrokerClock(offsetMs)
  }
}
