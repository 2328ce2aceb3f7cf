import { LanguageCode, PROTOCOL_VERSION, ResponseCode, writeDecimal, writeSignedDecimal } from '@tandemmq/protocol'
import type { Connection } from '@tandemmq/remoting'

/** The numbers every pull answer carries (remoting.md 2B, 11 and 13.6). */
export interface PullAnswer {
  code: number
  nextBeginOffset: number
  minOffset: number
  maxOffset: number
  topicSysFlag: number
  groupSysFlag: number
}

/** Answers a pull may get without being an error, with the remarks of a stock broker. */
const remarks: readonly (readonly [code: number, remark: string])[] = [
  [ResponseCode.SUCCESS, 'FOUND'],
  [ResponseCode.PULL_NOT_FOUND, 'OFFSET_OVERFLOW_ONE'],
  [ResponseCode.PULL_RETRY_IMMEDIATELY, 'NO_MATCHED_MESSAGE'],
  [ResponseCode.PULL_OFFSET_MOVED, 'OFFSET_MOVED'],
]

const LANGUAGE_NAME = 'OTHER'
/** Room for one header of any kind: the constant parts and five numbers of 16 digits. */
export const PULL_HEADER_BYTES_MAX = 512

const jsonHeads = new Map(
  remarks.map(([code, remark]) => [
    code,
    Buffer.from(
      `{"code":${code},"flag":1,"language":"${LANGUAGE_NAME}","version":${PROTOCOL_VERSION},"remark":"${remark}",` +
        '"serializeTypeCurrentRPC":"JSON","extFields":{"suggestWhichBrokerId":"0","nextBeginOffset":"',
      'latin1',
    ),
  ]),
)
const JSON_MIN = Buffer.from('","minOffset":"', 'latin1')
const JSON_MAX = Buffer.from('","maxOffset":"', 'latin1')
const JSON_TOPIC_FLAG = Buffer.from('","topicSysFlag":"', 'latin1')
const JSON_GROUP_FLAG = Buffer.from('","groupSysFlag":"', 'latin1')
const JSON_OPAQUE = Buffer.from('"},"opaque":', 'latin1')
const CLOSING_BRACE = 0x7d

// Binary header (remoting.md 1.3): code i16, language u8, version i16, opaque i32, flag i32, remark, ext fields.
const BINARY_OPAQUE_AT = 5
const binaryHeads = new Map(
  remarks.map(([code, remark]) => {
    const head = Buffer.alloc(17 + remark.length)
    head.writeInt16BE(code, 0)
    head.writeUInt8(LanguageCode.OTHER, 2)
    head.writeInt16BE(PROTOCOL_VERSION, 3)
    head.writeInt32BE(1, 9)
    head.writeInt32BE(remark.length, 13)
    head.write(remark, 17, 'latin1')
    return [code, head]
  }),
)
const binaryKey = (name: string): Buffer => {
  const key = Buffer.alloc(2 + name.length)
  key.writeInt16BE(name.length, 0)
  key.write(name, 2, 'latin1')
  return key
}
const KEY_SUGGEST = binaryKey('suggestWhichBrokerId')
const KEY_NEXT = binaryKey('nextBeginOffset')
const KEY_MIN = binaryKey('minOffset')
const KEY_MAX = binaryKey('maxOffset')
const KEY_TOPIC_FLAG = binaryKey('topicSysFlag')
const KEY_GROUP_FLAG = binaryKey('groupSysFlag')

/**
 * Writes header word and header at `start + 4`; the length field at `start` is {@link finishFrame}'s, when the body is there.
 * The caller reserved {@link PULL_HEADER_BYTES_MAX} bytes.
 * @returns where the body begins
 */
export function writePullHeader(
  connection: Connection,
  start: number,
  opaque: number,
  serialization: 0 | 1,
  answer: PullAnswer,
): number {
  const from = start + 8
  const end =
    serialization === 0
      ? writeJson(connection.output, from, opaque, answer)
      : writeBinary(connection.output, connection.outputView, from, opaque, answer)
  connection.outputView.setInt32(start + 4, (serialization << 24) | (end - from))
  return end
}

/** Sets the frame's length and hands `start .. end` to the connection. */
export function finishFrame(connection: Connection, start: number, end: number): void {
  connection.outputView.setInt32(start, end - start - 4)
  connection.commit(end - start)
}

function writeJson(out: Buffer, from: number, opaque: number, answer: PullAnswer): number {
  let at = put(out, from, jsonHeads.get(answer.code) as Buffer)
  at += writeDecimal(out, at, answer.nextBeginOffset)
  at = put(out, at, JSON_MIN)
  at += writeDecimal(out, at, answer.minOffset)
  at = put(out, at, JSON_MAX)
  at += writeDecimal(out, at, answer.maxOffset)
  at = put(out, at, JSON_TOPIC_FLAG)
  at += writeDecimal(out, at, answer.topicSysFlag)
  at = put(out, at, JSON_GROUP_FLAG)
  at += writeDecimal(out, at, answer.groupSysFlag)
  at = put(out, at, JSON_OPAQUE)
  at += writeSignedDecimal(out, at, opaque)
  out[at++] = CLOSING_BRACE
  return at
}

function writeBinary(out: Buffer, view: DataView, from: number, opaque: number, answer: PullAnswer): number {
  const lengthAt = put(out, from, binaryHeads.get(answer.code) as Buffer)
  view.setInt32(from + BINARY_OPAQUE_AT, opaque)
  let at = writeEntry(out, view, lengthAt + 4, KEY_SUGGEST, 0)
  at = writeEntry(out, view, at, KEY_NEXT, answer.nextBeginOffset)
  at = writeEntry(out, view, at, KEY_MIN, answer.minOffset)
  at = writeEntry(out, view, at, KEY_MAX, answer.maxOffset)
  at = writeEntry(out, view, at, KEY_TOPIC_FLAG, answer.topicSysFlag)
  at = writeEntry(out, view, at, KEY_GROUP_FLAG, answer.groupSysFlag)
  view.setInt32(lengthAt, at - lengthAt - 4)
  return at
}

function writeEntry(out: Buffer, view: DataView, at: number, key: Buffer, value: number): number {
  const lengthAt = put(out, at, key)
  const digits = writeDecimal(out, lengthAt + 4, value)
  view.setInt32(lengthAt, digits)
  return lengthAt + 4 + digits
}

function put(out: Buffer, at: number, bytes: Buffer): number {
  out.set(bytes, at)
  return at + bytes.length
}
