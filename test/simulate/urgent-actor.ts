import type { Producer } from '@tandemmq/client'
import { drawBody, hashOf, SMALL } from './parcel.ts'
import { SendingActor, type SendingPlan } from './sending-actor.ts'
import { settled } from './sending.ts'
import type { World } from './world.ts'

const NAME = 'desk'
const BURST = 25
const PAUSE_MS_MAX = 50_000

interface UrgentPlan {
  readonly address: string
  readonly topic: string
  readonly priorities: number
}

/** Sends bursts of messages with priorities: more at once than their group works off at once. */
export class UrgentActor extends SendingActor<UrgentPlan & SendingPlan> {
  constructor(world: World, plan: UrgentPlan) {
    super(world, { ...plan, name: NAME, pauseMs: PAUSE_MS_MAX }, world.random(NAME))
  }

  protected send(producer: Producer): void {
    for (let n = 0; n < BURST; n++) void this.#sendOne(producer)
  }

  async #sendOne(producer: Producer): Promise<void> {
    const { topic, priorities } = this.plan
    const id = `${NAME}-${++this.sent}`
    // On a slow line large ones hold up what the consumer has to say for longer than its leases last.
    const body = drawBody(this.random, id, undefined, SMALL)
    const priority = this.random.between(0, priorities - 1)
    this.world.note(NAME, { event: 'send.start', id, topic, kind: 'plain', hash: hashOf(body), priority })
    await settled(this.world, NAME, id, producer.send({ topic, body, priority }))
  }
}
