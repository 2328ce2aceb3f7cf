import { parseOffsetMessageId, RecordView, RequestCode, ResponseCode } from '@tandemmq/protocol'
import { formatAddress } from '@tandemmq/remoting'
import { errorOfAnswer } from '../client-error.ts'
import type { ClientCore } from '../cluster/client-core.ts'
import type { TopicRoute } from '../cluster/route.ts'
import { ConsumedMessage } from '../message/consumed-message.ts'
import { readMessages } from '../message/record-reader.ts'

export interface KeyQuery {
  /** Default 32; a broker gives 64 at most. */
  max?: number | undefined
  from?: Date | undefined
  to?: Date | undefined
}

/** What the index of each broker of the route has; it is a hash, so messages of other keys may be among them. */
export async function queryMessages(
  core: ClientCore,
  route: TopicRoute,
  { topic, key, isUnique }: { topic: string; key: string; isUnique: boolean },
  query: KeyQuery,
): Promise<ConsumedMessage[]> {
  const extFields = {
    topic,
    key,
    maxNum: query.max ?? 32,
    beginTimestamp: query.from?.getTime() ?? 0,
    endTimestamp: query.to?.getTime() ?? Number.MAX_SAFE_INTEGER,
    _UNIQUE_KEY_QUERY: isUnique,
  }
  const found: ConsumedMessage[] = []
  for (const { name, address } of route.brokers.values()) {
    if (address === undefined) continue
    const answer = await core.request(address, { code: RequestCode.QUERY_MESSAGE, extFields })
    if (answer.code === ResponseCode.QUERY_NOT_FOUND) continue
    if (answer.code !== ResponseCode.SUCCESS) throw errorOfAnswer(answer.code, answer.remark, `query ${topic}`)
    readMessages(answer.body, name, '', (message) => void found.push(message))
  }
  return found
}

/** @returns undefined when the id is no offset message id, or nothing is there */
export async function messageAtId(core: ClientCore, id: string): Promise<ConsumedMessage | undefined> {
  let place: ReturnType<typeof parseOffsetMessageId>
  try {
    place = parseOffsetMessageId(id)
  } catch {
    return undefined
  }
  // A unique id is as long: where an offset id has the port, it has process number and a hash, which no port is as large as.
  if (place.port < 1 || place.port > 65_535) return undefined
  return readMessageAt(core, formatAddress(place.host, place.port), place.physicalOffset, '')
}

export async function readMessageAt(
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

/** By its unique id: of the messages the index has, the one that is meant. */
export async function messageOfUniqueId(
  core: ClientCore,
  route: TopicRoute,
  topic: string,
  id: string,
): Promise<ConsumedMessage | undefined> {
  const found = await queryMessages(core, route, { topic, key: id, isUnique: true }, { max: 32 })
  return found.find((message) => message.messageId === id)
}
