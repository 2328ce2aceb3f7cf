import { parseOffsetMessageId, RecordView, RequestCode, ResponseCode } from '@tandemmq/protocol'
import { formatAddress } from '@tandemmq/remoting'
import type { ClientCore } from './client-core.ts'
import { ConsumedMessage } from './consumed-message.ts'

/** The message an offset message id names; undefined when it is none, or nothing is there. */
export async function messageOfId(core: ClientCore, id: string): Promise<ConsumedMessage | undefined> {
  let place: ReturnType<typeof parseOffsetMessageId>
  try {
    place = parseOffsetMessageId(id)
  } catch {
    return undefined
  }
  // A unique id is as long: where an offset id has the port, it has process number and a hash, which no port is as large as.
  if (place.port < 1 || place.port > 65_535) return undefined
  return recordAt(core, formatAddress(place.host, place.port), place.physicalOffset, '')
}

/** The record at a position of the log of the broker at `address`. */
export async function recordAt(
  core: ClientCore,
  address: string,
  offset: bigint,
  brokerName: string,
): Promise<ConsumedMessage | undefined> {
  const init = { code: RequestCode.VIEW_MESSAGE_BY_ID, extFields: { offset } }
  const answer = await core.request(address, init)
  const view = new RecordView()
  if (answer.code !== ResponseCode.SUCCESS || !view.at(answer.body, 0)) return undefined
  return new ConsumedMessage(answer.body, 0, view, brokerName, '')
}
