import { parseLenientJson, RequestCode } from '@tandemmq/protocol'
import type { ClientCore } from '../../cluster/client-core.ts'
import type { MessageQueue } from '../../cluster/route.ts'
import { queueKey } from '../../cluster/route.ts'
import { asArray, asNumber, asObject, asText } from '../../json.ts'

/** What an Apache broker has, and does not tell. */
const STOCK_EXPIRY_MS = 60_000
/** As Java: the rest of the time is for handlers that began before. */
const TRUSTED_PART = 0.5

export interface HeldLock {
  /** Changes when somebody else held it meanwhile; 0 on a broker that tells none. */
  readonly epoch: number
  /** So long after it was asked for messages may be handed out. */
  readonly trustedMs: number
}

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

  /** Takes or renews locks on one broker. @returns queues now held by key, by what it holds them */
  async lock(brokerName: string, queues: readonly MessageQueue[]): Promise<Map<string, HeldLock>> {
    const address = this.#core.brokerAddress(brokerName)
    const init = {
      code: RequestCode.LOCK_BATCH_MQ,
      body: this.#body(queues, this.#isClaim ? { handover: true } : { withEpochs: true }),
    }
    const answer = await this.#core.ask(address, init, `lock queues of ${this.#group}`)
    const body = asObject(parseLenientJson(answer.body.toString('utf8')))
    const epochs = asArray(body['epochs'])
    const trustedMs = asNumber(body['expiryMs'], STOCK_EXPIRY_MS) * TRUSTED_PART
    return new Map(
      asArray(body['lockOKMQSet']).map((entry, n) => {
        const queue = asObject(entry)
        const key = queueKey({
          topic: asText(queue['topic']),
          brokerName: asText(queue['brokerName']),
          queueId: asNumber(queue['queueId']),
        })
        return [key, { epoch: asNumber(epochs[n]), trustedMs }] as const
      }),
    )
  }

  /** Gives locks back, so that the next owner need not wait for them to expire (60 s). */
  async unlock(queue: MessageQueue): Promise<void> {
    const address = this.#core.brokerAddress(queue.brokerName)
    const init = {
      code: RequestCode.UNLOCK_BATCH_MQ,
      body: this.#body([queue], this.#isClaim ? { handover: true } : {}),
    }
    await this.#core.ask(address, init, `unlock ${queueKey(queue)}`)
  }

  #body(queues: readonly MessageQueue[], more: { withEpochs?: true; handover?: true } = {}): Buffer {
    return Buffer.from(
      JSON.stringify({
        clientId: this.#core.settings.clientId,
        consumerGroup: this.#group,
        mqSet: queues.map(({ brokerName, queueId, topic }) => ({ brokerName, queueId, topic })),
        onlyThisBroker: false,
        ...more,
      }),
    )
  }
}
