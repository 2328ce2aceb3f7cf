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
      default:
        return frame
    }
    return encodeCommand(command)
  }
}
