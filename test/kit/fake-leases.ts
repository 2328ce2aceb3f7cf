import type { RemotingCommand } from '@tandemmq/protocol'
import { RequestCode } from '@tandemmq/protocol'
import type { FakeBroker } from './fake-broker.ts'
import { recordOf } from './fake-broker.ts'

interface Waiting {
  queueId: number
  offset: number
  body: string
  visibleAt: number
  popTime: number
  startOffset: number
  invisibleMs: number
  attempts: number
  tag: string
  properties: Record<string, string>
  state: 'here' | 'acked'
}

/**
 * Leases of one topic on a fake broker, as POP means them: each message is given out once per lease, a receipt counts only while it is
 * the newest, a lease that ends makes the message visible again with a higher count.
 */
export class FakeLeases {
  readonly messages: Waiting[] = []
  /** Bodies in the order they were acknowledged. */
  readonly acked: string[] = []
  /** Acknowledgements and changes with a receipt that is no longer the newest. */
  stale = 0
  isBatchKnown = true
  /** A repeat of an attempt ends the question that waits, as on TandemMQ; a stock broker holds both. */
  endsRepeated = true
  readonly #fake: FakeBroker
  readonly #topic: string
  readonly #parked = new Set<() => void>()
  readonly #byAttempt = new Map<string, () => void>()

  constructor(fake: FakeBroker, topic: string) {
    this.#fake = fake
    this.#topic = topic
    fake
      .on(RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG, () => ({ code: 26 }))
      .on(RequestCode.POP_MESSAGE, (request, connection) => {
        const holdMs = Number(request.extFields['pollTime'])
        const attempt = request.extFields['attemptId'] ?? ''
        if (this.endsRepeated) this.#byAttempt.get(attempt)?.()
        // Asked too long ago to be waited for; a broker reckons that by its own clock.
        if (request.extFields['bornTime'] === '0') return { code: 210, extFields: this.#fields(request, []) }
        const found = this.#pop(request)
        if (found !== undefined) return found
        const leave = (): void => {
          this.#parked.delete(again)
          this.#byAttempt.delete(attempt)
          timer.cancel()
        }
        const again = (): void => {
          if (connection.isOpen === false) return leave()
          const late = this.#pop(request)
          if (late === undefined) return
          leave()
          connection.reply(request, late)
        }
        const giveUp = (): void => {
          leave()
          connection.reply(request, { code: 210, extFields: this.#fields(request, []) })
        }
        const timer = fake.where.clock.setTimer(holdMs, giveUp)
        this.#parked.add(again)
        this.#byAttempt.set(attempt, giveUp)
        return undefined
      })
      .on(RequestCode.ACK_MESSAGE, ({ extFields }) => {
        const parts = (extFields['extraInfo'] ?? '').split(' ').map(Number)
        this.#ack(Number(extFields['queueId']), Number(extFields['offset']), parts[1] ?? 0)
        return { code: 0 }
      })
      .on(RequestCode.BATCH_ACK_MESSAGE, (request) => this.#batchAck(request))
      .on(RequestCode.CHANGE_MESSAGE_INVISIBLETIME, ({ extFields }) => this.#change(extFields))
  }

  put(body: string, options: { queueId?: number; tag?: string; properties?: Record<string, string> } = {}): void {
    const queueId = options.queueId ?? 0
    const offset = this.messages.filter((one) => one.queueId === queueId).length
    const rest = { visibleAt: 0, popTime: 0, startOffset: 0, invisibleMs: 0, attempts: 0, state: 'here' as const }
    const { tag = '', properties = {} } = options
    this.messages.push({ queueId, offset, body, tag, properties, ...rest })
    this.#wake()
  }

  /** Bodies nobody holds a lease on. */
  visible(): string[] {
    const now = this.#fake.where.clock.now()
    return this.messages.filter((one) => one.state === 'here' && one.visibleAt <= now).map(({ body }) => body)
  }

  #wake(): void {
    for (const again of this.#parked) again()
  }

  #pop(request: RemotingCommand) {
    const { extFields } = request
    if (extFields['topic'] !== this.#topic) return undefined
    const now = this.#fake.where.clock.now()
    const visible = this.messages.filter((one) => one.state === 'here' && one.visibleAt <= now)
    const isFree = ({ queueId }: Waiting): boolean =>
      !this.messages.some((one) => one.queueId === queueId && one.state === 'here' && one.visibleAt > now)
    const mayPop = extFields['order'] === 'true' ? visible.filter(isFree) : visible
    const taken = mayPop.slice(0, Number(extFields['maxMsgNums']))
    if (taken.length === 0) return undefined
    for (const one of taken) {
      one.attempts++
      one.popTime = now
      one.invisibleMs = Number(extFields['invisibleTime'])
      one.visibleAt = now + one.invisibleMs
      one.startOffset = Math.min(...taken.filter(({ queueId }) => queueId === one.queueId).map(({ offset }) => offset))
    }
    return {
      code: 0,
      extFields: this.#fields(request, taken),
      body: Buffer.concat(
        taken.map(({ queueId, offset, body, attempts, tag, properties }) =>
          recordOf({
            topic: this.#topic,
            queueId,
            queueOffset: offset,
            body,
            reconsumeTimes: attempts - 1,
            properties: { UNIQ_KEY: `id-${body}`, ...(tag === '' ? {} : { TAGS: tag }), ...properties },
          }),
        ),
      ),
    }
  }

  #fields({ extFields }: RemotingCommand, taken: readonly Waiting[]): Record<string, string | number | undefined> {
    const queues = [...new Set(taken.map(({ queueId }) => queueId))]
    const of = (id: number): Waiting[] => taken.filter(({ queueId }) => queueId === id)
    return {
      popTime: Math.floor(this.#fake.where.clock.now()),
      invisibleTime: extFields['invisibleTime'],
      reviveQid: extFields['order'] === 'true' ? 999 : 0,
      restNum: 0,
      startOffsetInfo: queues.map((id) => `0 ${id} ${of(id)[0]?.startOffset}`).join(';'),
      msgOffsetInfo: queues.map((id) => `0 ${id} ${of(id).map(({ offset }) => offset)}`).join(';'),
    }
  }

  #find(queueId: number, offset: number, popTime: number): Waiting | undefined {
    const found = this.messages.find((one) => one.queueId === queueId && one.offset === offset)
    if (found !== undefined && found.state === 'here' && Math.floor(found.popTime) === popTime) return found
    this.stale++
    return undefined
  }

  #ack(queueId: number, offset: number, popTime: number): void {
    const found = this.#find(queueId, offset, popTime)
    if (found === undefined) return
    found.state = 'acked'
    this.acked.push(found.body)
    this.#wake()
  }

  #batchAck(request: RemotingCommand) {
    if (!this.isBatchKnown) return { code: 3, remark: ' request type 200151 not supported' }
    const { acks } = JSON.parse(request.body.toString()) as {
      acks: { b: string; q: number; so: number; pt: number }[]
    }
    for (const { b, q, so, pt } of acks) {
      const bytes = Buffer.from(b, 'base64')
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        if (((bytes[bit >> 3] ?? 0) & (1 << (bit & 7))) !== 0) this.#ack(q, so + bit, pt)
      }
    }
    return { code: 0 }
  }

  #change(extFields: RemotingCommand['extFields']) {
    const parts = (extFields['extraInfo'] ?? '').split(' ').map(Number)
    const found = this.#find(Number(extFields['queueId']), Number(extFields['offset']), parts[1] ?? 0)
    if (found === undefined) return { code: 208, remark: 'no such lease' }
    const now = this.#fake.where.clock.now()
    // A receipt is told apart by its time here, so that of an extension must differ.
    found.popTime = Math.max(now, found.popTime + 1)
    found.invisibleMs = Number(extFields['invisibleTime'])
    found.visibleAt = now + found.invisibleMs
    this.#fake.where.clock.setTimer(found.invisibleMs, () => this.#wake())
    const popTime = Math.floor(found.popTime)
    return { code: 0, extFields: { popTime, invisibleTime: found.invisibleMs, reviveQid: parts[3] ?? 0 } }
  }
}
