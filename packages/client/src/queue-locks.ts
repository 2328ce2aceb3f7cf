import { parseLenientJson, RequestCode } from '@tandemmq/protocol'
import type { ClientCore } from './client-core.ts'
import { asArray, asNumber, asObject, asText } from './json.ts'
import type { MessageQueue } from './route.ts'
import { queueKey } from './route.ts'

/** Broker locks of ordered consumption (41, 42; remoting.md 4.12). */
export class QueueLocks {
  readonly #core: ClientCore
  readonly #group: string

  constructor(core: ClientCore, group: string) {
    this.#core = core
    this.#group = group
  }

  /** Takes or renews locks on one broker. @returns queues now held by key, each with its epoch; 0 on a broker that has none */
  async lock(brokerName: string, queues: readonly MessageQueue[]): Promise<Map<string, number>> {
    const address = this.#core.brokerAddress(brokerName)
    const init = { code: RequestCode.LOCK_BATCH_MQ, body: this.#body(queues) }
    const answer = await this.#core.ask(address, init, `lock queues of ${this.#group}`)
    const body = asObject(parseLenientJson(answer.body.toString('utf8')))
    const epochs = asArray(body['epochs'])
    return new Map(
      asArray(body['lockOKMQSet']).map((entry, n) => {
        const queue = asObject(entry)
        const key = queueKey({
          topic: asText(queue['topic']),
          brokerName: asText(queue['brokerName']),
          queueId: asNumber(queue['queueId']),
        })
        return [key, asNumber(epochs[n])] as const
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
        withEpochs: true,
      }),
    )
  }
}
