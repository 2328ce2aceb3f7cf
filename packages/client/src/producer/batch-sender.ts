import { encodeBatch } from '@tandemmq/protocol'
import type { HookList, Sending } from '../hooks/hook-list.ts'
import type { OutgoingMessage } from '../message/message.ts'
import { checkedLength, isDelayed, jsonSpelling, plainSpelling, spellProperties, wireBody } from '../message/message.ts'
import type { SendAnswer, SendReceipt } from '../message/send-receipt.ts'
import type { SendFrame } from './send-frame.ts'

/** What a batch needs of its producer. */
export interface BatchPort {
  readonly bodyBytesMax: number
  requireOpen(): void
  checkTopic(topic: string): void
  now(): number
  nextMessageId(): string
  readonly hooks: HookList | undefined
  readonly group: string
  /** @param sending the hooks have seen the message already */
  single(message: OutgoingMessage, sending?: Sending): Promise<SendReceipt>
  batch<T>(first: OutgoingMessage, frame: SendFrame, finish: (answer: SendAnswer, brokerName: string) => T): Promise<T>
}

interface Member {
  readonly index: number
  readonly message: OutgoingMessage
  readonly messageId: string
  readonly sending: Sending | undefined
  readonly body: Buffer
  readonly properties: Buffer
  readonly bytes: number
}

/** total, magic, CRC, flag, body length, properties length (remoting.md 3.6) */
const ENTRY_BYTES = 22

export async function sendBatches(port: BatchPort, messages: readonly OutgoingMessage[]): Promise<SendReceipt[]> {
  port.requireOpen()
  const begun: Sending[] = []
  let plan: Plan
  try {
    plan = planOf(port, messages, begun)
  } catch (error) {
    for (const sending of begun) port.hooks?.afterSend(sending, error)
    throw error
  }
  const receipts: SendReceipt[] = []
  const sends: Promise<void>[] = []
  for (const { index, message } of plan.alone) {
    sends.push(port.single(message).then((receipt) => void (receipts[index] = receipt)))
  }
  for (const group of plan.groups) {
    // One after the other: batches of one orderBy must not overtake each other.
    sends.push(sendInOrder(port, chunks(group, port.bodyBytesMax), receipts))
  }
  await Promise.all(sends)
  return receipts
}

interface Plan {
  readonly alone: readonly { readonly index: number; readonly message: OutgoingMessage }[]
  readonly groups: readonly Member[][]
}

/** @param begun gets what the hooks have seen, also when it throws */
function planOf(port: BatchPort, messages: readonly OutgoingMessage[], begun: Sending[]): Plan {
  const groups = new Map<string, Member[]>()
  const alone: { index: number; message: OutgoingMessage }[] = []
  // Everything is checked before anything is sent, so that a wrong message does not leave half of them stored.
  for (const [index, message] of messages.entries()) {
    port.checkTopic(message.topic)
    if (isDelayed(message) || message.dedupKey !== undefined || message.priority !== undefined) {
      spellProperties(message, '', jsonSpelling)
      checkedLength(wireBody(message.body), port.bodyBytesMax)
      alone.push({ index, message })
      continue
    }
    const key = JSON.stringify([message.topic, message.orderBy ?? null])
    const group = groups.get(key) ?? []
    group.push(memberOf(port, index, message, begun))
    groups.set(key, group)
  }
  return { alone, groups: [...groups.values()] }
}

async function sendInOrder(port: BatchPort, parts: readonly Member[][], receipts: SendReceipt[]): Promise<void> {
  for (const [place, part] of parts.entries()) {
    try {
      await sendPart(port, part, receipts)
    } catch (error) {
      // What follows is not sent any more; a single one's hooks were called by its own send.
      for (const unsent of parts.slice(part.length === 1 ? place + 1 : place).flat()) {
        if (unsent.sending !== undefined) port.hooks?.afterSend(unsent.sending, error)
      }
      throw error
    }
  }
}

async function sendPart(port: BatchPort, part: readonly Member[], receipts: SendReceipt[]): Promise<void> {
  const first = part[0]
  if (first === undefined) return
  if (part.length === 1) {
    receipts[first.index] = await port.single({ ...first.message, messageId: first.messageId }, first.sending)
    return
  }
  const body = encodeBatch(
    part.map((member) => ({ flag: member.message.flag ?? 0, body: member.body, properties: member.properties })),
  )
  const frame: SendFrame = {
    messageId: '',
    queueId: 0,
    sysFlag: 0,
    flag: 0,
    bornTimestamp: port.now(),
    properties: spellProperties({ topic: first.message.topic, body: '' }, port.nextMessageId(), jsonSpelling),
    body,
    bodyBytes: body.length,
  }
  await port.batch(first.message, frame, (answer, brokerName) => {
    const ids = answer.offsetMessageId.split(',')
    part.forEach((member, place) => {
      receipts[member.index] = {
        messageId: member.messageId,
        topic: member.message.topic,
        brokerName,
        queueId: answer.queueIds?.[place] ?? answer.queueId,
        queueOffset: answer.queueOffsets?.[place] ?? answer.queueOffset + BigInt(place),
        duplicate: answer.duplicate || (answer.duplicates?.has(place) ?? false),
        offsetMessageId: ids[place] ?? '',
        recallHandle: undefined,
      }
      if (member.sending !== undefined) port.hooks?.batched(member.sending, receipts[member.index], answer.region)
    })
  })
}

function memberOf(port: BatchPort, index: number, given: OutgoingMessage, begun: Sending[]): Member {
  const messageId = given.messageId ?? port.nextMessageId()
  const sending = port.hooks?.beforeSend(port.group, 'normal', messageId, given)
  if (sending !== undefined) begun.push(sending)
  const message = sending?.message ?? given
  const wire = wireBody(message.body)
  checkedLength(wire, port.bodyBytesMax)
  const body = typeof wire === 'string' ? Buffer.from(wire) : Buffer.from(wire.buffer, wire.byteOffset, wire.length)
  const properties = Buffer.from(spellProperties(message, messageId, plainSpelling))
  return { index, message, messageId, sending, body, properties, bytes: ENTRY_BYTES + body.length + properties.length }
}

/** Consecutive parts, each within the brokers' limit for one body. */
function chunks(members: readonly Member[], bytesMax: number): Member[][] {
  const parts: Member[][] = []
  let part: Member[] = []
  let bytes = 0
  for (const member of members) {
    if (part.length > 0 && bytes + member.bytes > bytesMax) {
      parts.push(part)
      part = []
      bytes = 0
    }
    part.push(member)
    bytes += member.bytes
  }
  if (part.length > 0) parts.push(part)
  return parts
}
