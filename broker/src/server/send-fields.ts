import { Field, type FieldName, type HeaderView, ProtocolError, RequestCode } from '@tandemmq/protocol'

/** One field of the send header under both its names: V1 spells it out, V2 has one letter (remoting.md 2A). */
interface SendField {
  readonly name: string
  readonly v1: FieldName
  readonly letter: number
}

const field = (name: string, v1: FieldName, letter: string): SendField => ({ name, v1, letter: letter.charCodeAt(0) })

export const SendFields = {
  group: field('producerGroup', Field.producerGroup, 'a'),
  topic: field('topic', Field.topic, 'b'),
  defaultTopic: field('defaultTopic', Field.defaultTopic, 'c'),
  defaultQueues: field('defaultTopicQueueNums', Field.defaultTopicQueueNums, 'd'),
  queueId: field('queueId', Field.queueId, 'e'),
  sysFlag: field('sysFlag', Field.sysFlag, 'f'),
  bornTimestamp: field('bornTimestamp', Field.bornTimestamp, 'g'),
  flag: field('flag', Field.flag, 'h'),
  properties: field('properties', Field.properties, 'i'),
  reconsumeTimes: field('reconsumeTimes', Field.reconsumeTimes, 'j'),
  maxReconsumeTimes: field('maxReconsumeTimes', Field.maxReconsumeTimes, 'l'),
}

/** Index of the field in the header at hand, -1 when absent. */
export function indexOf(header: HeaderView, { v1, letter }: SendField): number {
  const spelledOut = header.code === RequestCode.SEND_MESSAGE || header.code === RequestCode.SEND_REPLY_MESSAGE
  return spelledOut ? header.find(v1) : header.letter(letter)
}

/** @throws {ProtocolError} FIELD_MISSING */
export function requiredIndex(header: HeaderView, wanted: SendField): number {
  const index = indexOf(header, wanted)
  if (index < 0) throw new ProtocolError('FIELD_MISSING', `the request has no ${wanted.name}`)
  return index
}

export function integerOr(header: HeaderView, wanted: SendField, absent: number): number {
  const index = indexOf(header, wanted)
  return index < 0 ? absent : header.integer(index)
}
