import { isUtf8 } from 'node:buffer'
import { ProtocolError } from './errors.ts'
import { hashStep } from './fields.ts'
import type { HeaderSlots } from './header-slots.ts'

// ROCKETMQ header (RocketMQSerializable.java, remoting.md 1.3), big-endian:
//   code i16 | language u8 | version i16 | opaque i32 | flag i32 | remark length i32, remark
//   | ext length i32 | entries: name length i16, name, value length i32, value
// An empty value stands for null and is dropped, a repeated name keeps its last value, as in Java's map.

const FIXED_BYTES = 17
const LAST_LANGUAGE = 13
const OTHER = 7

/** @throws {ProtocolError} HEADER_INVALID when lengths do not add up or a text is not UTF-8 */
export function scanBinaryHeader(slots: HeaderSlots, bytes: Buffer, start: number, end: number): void {
  if (end - start < FIXED_BYTES + 4) throw invalid('shorter than its fixed part')
  slots.code = i16(bytes, start)
  const language = bytes[start + 2] as number
  slots.language = language <= LAST_LANGUAGE ? language : OTHER
  slots.version = i16(bytes, start + 3)
  slots.opaque = i32(bytes, start + 5)
  slots.flag = i32(bytes, start + 9)
  const remarkStart = start + FIXED_BYTES
  const remarkLength = i32(bytes, start + 13)
  if (remarkLength < 0 || remarkLength > end - remarkStart - 4) throw invalid('remark longer than the header')
  const remarkEnd = remarkStart + remarkLength
  if (remarkLength > 0) {
    checkText(bytes, remarkStart, remarkEnd)
    slots.remarkStart = remarkStart
    slots.remarkEnd = remarkEnd
  }
  const fieldsStart = remarkEnd + 4
  if (i32(bytes, remarkEnd) !== end - fieldsStart) throw invalid('ext fields do not fill the header')
  scanFields(slots, bytes, fieldsStart, end)
}

function scanFields(slots: HeaderSlots, bytes: Buffer, start: number, end: number): void {
  let at = start
  while (at < end) {
    if (end - at < 2) throw invalid('field cut short')
    const keyStart = at + 2
    const keyLength = i16(bytes, at)
    const keyEnd = keyStart + keyLength
    if (keyLength < 0 || keyEnd + 4 > end) throw invalid('field name longer than the header')
    let hash = 0
    let bits = 0
    for (let index = keyStart; index < keyEnd; index++) {
      const byte = bytes[index] as number
      hash = hashStep(hash, byte)
      bits |= byte
    }
    if (bits & 0x80) checkText(bytes, keyStart, keyEnd)
    const valueStart = keyEnd + 4
    const valueLength = i32(bytes, keyEnd)
    if (valueLength < 0 || valueLength > end - valueStart) throw invalid('field value longer than the header')
    at = valueStart + valueLength
    if (valueLength === 0) continue
    checkText(bytes, valueStart, at)
    const same = slots.addField(keyStart, keyEnd, hash, valueStart, at, 0)
    if (same >= 0) slots.moveValue(same, valueStart, at)
  }
}

function checkText(bytes: Buffer, start: number, end: number): void {
  let bits = 0
  for (let at = start; at < end; at++) bits |= bytes[at] as number
  if (bits & 0x80 && !isUtf8(bytes.subarray(start, end))) throw invalid('text is not UTF-8')
}

function i16(bytes: Buffer, at: number): number {
  return (((bytes[at] as number) << 24) >> 16) | (bytes[at + 1] as number)
}

function i32(bytes: Buffer, at: number): number {
  return (
    ((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  )
}

function invalid(detail: string): ProtocolError {
  return new ProtocolError('HEADER_INVALID', `binary header: ${detail}`)
}
