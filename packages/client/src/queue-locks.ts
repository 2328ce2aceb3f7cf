import { parseLenientJson, RequestCode } from '@tandemmq/protocol'
import type { ClientCore } from './client-core.ts'
import { asArray, asNumber, asObject, asText } from './json.ts'
import type { MessageQueue } from './route.ts'
import { queueKey } from './route.ts'

/** Broker locks of ordered consumption (41, 42; remoting.md 4.12), and claims, which a TandemMQ broker knows beside them. */
export class QueueLocks {
  readonly #core: ClientCore
  readonly #group: string
  readonly #isClaim: boolean

  constructor(core: ClientCore, group: string, isClaim: boolean) {
    this.#core = core
    this.#group = group
    this.#isClaim = isClaim
  }

  /** Takes or renews locks on one broker. @returns keys of the queues now held */
  async lock(brokerName: string, queues: readonly MessageQueue[]): Promise<Set<string>> {
    const address = this.#core.brokerAddress(brokerName)
    const init = { code: RequestCode.LOCK_BATCH_MQ, body: this.#body(queues) }
    const answer = await this.#core.ask(address, init, `lock queues of ${this.#group}`)
    const held = asArray(asObject(parseLenientJson(answer.body.toString('utf8')))['lockOKMQSet'])
    return new Set(
      held.map((entry) => {
        const queue = asObject(entry)
        return queueKey({
          topic: asText(queue['topic']),
          brokerName: asText(queue['brokerName']),
          queueId: asNumber(queue['queueId']),
        })
      }),
    )
  }

  /** Gives locks back, so that the next owner need not wait for them to expire (60 s). */
  async unlock(queue: MessageQueue): Promise<void> {
    const address = this.#core.brokerAddress(queue.brokerName)
    const init = { code: RequestCode.UNLOCK_BATCH_MQ, body: this.#body([queue]) }
    await this.#core.ask(address, init, `unlock ${queueKey(queue)}`)
  }

  #body(queues: readonly MessageQueue[]): Buffer {
    return Buffer.from(
      JSON.stringify({
        clientId: this.#core.settings.clientId,
        consumerGroup: this.#group,
        mqSet: queues.map(({ brokerName, queueId, topic }) => ({ brokerName, queueId, topic })),
        onlyThisBroker: false,
        ...(this.#isClaim && { handover: true }),
      }),
    )
  }
}
