import {
  decodeCommand,
  encodeCommand,
  parseOffsetMessageId,
  type RemotingCommand,
  RequestCode,
  type StoredMessage,
} from '@tandemmq/protocol'

export const isOffsetId = (id: string): boolean => /^[0-9A-F]{32}$|^[0-9A-F]{56}$/.test(id)
const offsetOf = (id: string): string => String(parseOffsetMessageId(id).physicalOffset)

/** Values that only make sense to the broker that gave them: from the recorded broker's to ours. */
export class Translation {
  readonly #physical = new Map<string, string>()
  readonly #ids = new Map<string, string>()
  readonly #queueOffsets = new Map<string, string>()
  /** Epochs of leases: pop time and revive queue. */
  readonly #leases = new Map<string, [popTime: string, reviveQid: string]>()
  /** For offsets from outside the recording: any stored message will do. */
  #anyPhysical: string | undefined

  learn(recorded: RemotingCommand, ours: RemotingCommand): void {
    const [theirs = [], own = []] = [recorded, ours].map(({ extFields }) => (extFields['msgId'] ?? '').split(','))
    for (const [index, id] of theirs.entries()) {
      const other = own[index] ?? ''
      if (!isOffsetId(id) || !isOffsetId(other)) continue
      this.#ids.set(id, other)
      this.#physical.set(offsetOf(id), offsetOf(other))
    }
    const [from, to] = [recorded.extFields['queueOffset'], ours.extFields['queueOffset']]
    if (from !== undefined && to !== undefined) this.#queueOffsets.set(from, to)
    const { popTime, reviveQid } = ours.extFields
    if (popTime !== undefined && reviveQid !== undefined)
      this.#leases.set(leaseOf(recorded.extFields), [popTime, reviveQid])
  }

  learnRecord(recorded: StoredMessage, ours: StoredMessage): void {
    this.#physical.set(String(recorded.physicalOffset), String(ours.physicalOffset))
    this.#ids.set(recorded.offsetMessageId, ours.offsetMessageId)
  }

  learnAny(offsetId: string): void {
    this.#anyPhysical = offsetOf(offsetId)
  }

  /** The request as a client of our broker would have sent it. */
  request(frame: Buffer): Buffer {
    const command = decodeCommand(frame)
    const { extFields } = command
    const to = (name: string, value: string | undefined): void => {
      if (value !== undefined && extFields[name] !== undefined) extFields[name] = value
    }
    switch (command.code) {
      case RequestCode.END_TRANSACTION:
        to('tranStateTableOffset', this.#queueOffsets.get(extFields['tranStateTableOffset'] ?? ''))
        to('commitLogOffset', this.#physical.get(extFields['commitLogOffset'] ?? ''))
        break
      case RequestCode.CONSUMER_SEND_MSG_BACK:
        to('offset', this.#physical.get(extFields['offset'] ?? ''))
        break
      case RequestCode.VIEW_MESSAGE_BY_ID:
        to('offset', this.#physical.get(extFields['offset'] ?? '') ?? this.#anyPhysical)
        break
      case RequestCode.CONSUME_MESSAGE_DIRECTLY:
        to('msgId', this.#ids.get(extFields['msgId'] ?? ''))
        break
      case RequestCode.ACK_MESSAGE:
      case RequestCode.CHANGE_MESSAGE_INVISIBLETIME:
        to('extraInfo', this.#receipt(extFields['extraInfo'] ?? ''))
        break
      case RequestCode.BATCH_ACK_MESSAGE:
        command.body = this.#batchAck(command.body)
        break
      default:
        return frame
    }
    return encodeCommand(command)
  }

  #receipt(recorded: string): string {
    const [start, popTime, invisibleTime, reviveQid, ...rest] = recorded.split(' ')
    const lease = this.#leases.get(`${popTime} ${reviveQid}`)
    return lease === undefined ? recorded : [start, lease[0], invisibleTime, lease[1], ...rest].join(' ')
  }

  #batchAck(body: Buffer): Buffer {
    const value = JSON.parse(body.toString()) as { acks: { pt: number; rq: number }[] }
    for (const ack of value.acks) {
      const lease = this.#leases.get(`${ack.pt} ${ack.rq}`)
      if (lease !== undefined) [ack.pt, ack.rq] = [Number(lease[0]), Number(lease[1])]
    }
    return Buffer.from(JSON.stringify(value))
  }
}

const leaseOf = ({ popTime, reviveQid }: Record<string, string>): string => `${popTime} ${reviveQid}`
