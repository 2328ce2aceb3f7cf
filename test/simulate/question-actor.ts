import type { Producer } from '@tandemmq/client'
import { hashOf, plainBody } from './parcel.ts'
import { SendingActor, type SendingPlan } from './sending-actor.ts'
import { codeOf } from './sending.ts'
import type { World } from './world.ts'

const NAME = 'asker'
const PAUSE_MS_MAX = 6_000
/** Longer than any handler works, with those ahead in its queue. */
const PATIENCE_MS = 25_000

interface QuestionPlan {
  readonly address: string
  readonly topic: string
  readonly group: string
}

/** Sends requests and waits for their replies, several at a time. */
export class QuestionActor extends SendingActor<QuestionPlan & SendingPlan> {
  constructor(world: World, plan: QuestionPlan) {
    super(world, { ...plan, name: NAME, pauseMs: PAUSE_MS_MAX }, world.random(NAME))
  }

  protected send(producer: Producer): void {
    void this.#ask(producer)
  }

  async #ask(producer: Producer): Promise<void> {
    const { world } = this
    const { topic, group } = this.plan
    const id = `${NAME}-${++this.sent}`
    const body = plainBody(id)
    world.note(NAME, { event: 'send.start', id, topic, kind: 'plain', hash: hashOf(body) })
    world.note(NAME, { event: 'ask.start', id, group })
    try {
      const reply = await producer.request({ topic, body }, { timeoutMs: PATIENCE_MS })
      world.note(NAME, { event: 'ask.ok', id, answers: reply.text() })
    } catch (error) {
      world.note(NAME, { event: 'ask.fail', id, code: codeOf(error) })
    }
  }
}
