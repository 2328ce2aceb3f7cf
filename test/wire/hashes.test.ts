import {
  addressText,
  crc32Of,
  deadLetterTopic,
  decodeProperties,
  encodeBatch,
  encodeProperties,
  groupNameProblem,
  hostBytes,
  isSendForbidden,
  isSystemTopic,
  javaStringHash,
  offsetMessageId,
  parseDelayLevels,
  parseOffsetMessageId,
  retryTopic,
  tagHash,
  topicNameProblem,
} from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { goldenHashes } from './golden.ts'

test('tag hashes are those of the Java classes', () => {
  for (const { tag, hashCode, tagsCode } of goldenHashes<{ tag: string | null; hashCode: number; tagsCode: number }>(
    'tagHash',
  )) {
    if (tag === null) continue
    expect([javaStringHash(tag), tagHash(Buffer.from(tag))], tag).toEqual([hashCode, tagsCode])
  }
})

test('index key hashes are the absolute value of the key text hash', () => {
  for (const { indexKey, topic, hash } of goldenHashes<{ indexKey: string; topic: string | null; hash: number }>(
    'indexKey',
  )) {
    if (topic !== null) expect(Math.abs(javaStringHash(indexKey))).toBe(hash)
  }
})

test('offset message ids are those of the Java classes, both ways', () => {
  interface Row {
    host: string
    port: number
    offset: string
    id: string
    decodedHost: string
  }
  for (const row of goldenHashes<Row>('messageId')) {
    expect(offsetMessageId(hostBytes(row.host, row.port), BigInt(row.offset))).toBe(row.id)
    expect(parseOffsetMessageId(row.id)).toEqual({
      host: row.decodedHost,
      port: row.port,
      physicalOffset: BigInt(row.offset),
    })
  }
})

test('a text Java refuses as an offset message id is refused', () => {
  for (const { id, result } of goldenHashes<{ id: string; result: unknown }>('messageIdDecode')) {
    // Java reads "ZZ" as a number; we do not guess.
    if (typeof result !== 'string' || id.includes('Z')) expect(() => parseOffsetMessageId(id)).toThrow(/FIELD_INVALID/)
  }
})

test('the address and process in a unique id lie where Java puts them', () => {
  for (const { id, ip, pid } of goldenHashes<{ id: string; ip: string; pid: number }>('uniqueId')) {
    const bytes = Buffer.from(id, 'hex')
    const addressBytes = bytes.length - 12
    const text = addressText(bytes, 0, addressBytes)
    expect(text).toBe(addressText(hostBytes(ip, 0), 0, addressBytes))
    expect(bytes.readUInt16BE(addressBytes)).toBe(pid)
  }
})

test('body checksums are those of the Java classes', () => {
  for (const { bodyHex, crc32 } of goldenHashes<{ bodyHex: string; crc32: number }>('crc32')) {
    const body = Buffer.from(bodyHex, 'hex')
    expect(crc32Of(body, 0, body.length) & 0x7fffffff).toBe(crc32)
  }
})

test('property strings are read as Java reads them and written as Java writes them', () => {
  interface Row {
    properties?: Record<string, string>
    text: string
    parsed: Record<string, string>
  }
  for (const { properties, text, parsed } of [
    ...goldenHashes<Row>('properties'),
    ...goldenHashes<Row>('propertiesParse'),
  ]) {
    expect({ ...decodeProperties(Buffer.from(text)) }).toEqual(parsed)
    if (properties === undefined) continue
    // Java writes separators inside names and values as they are; we refuse them.
    if (JSON.stringify(properties).includes('\\u0001'))
      expect(() => encodeProperties(properties)).toThrow(/FIELD_INVALID/)
    else expect(encodeProperties(properties).toString()).toBe(text)
  }
})

test('a batch body is the one the Java encoder makes', () => {
  interface Row {
    messages: { flag: number; bodyHex: string; properties: string }[]
    hex: string
  }
  for (const { messages, hex } of goldenHashes<Row>('batchBody')) {
    const entries = messages.map(({ flag, bodyHex, properties }) => ({
      flag,
      body: Buffer.from(bodyHex, 'hex'),
      properties: Buffer.from(properties),
    }))
    expect(encodeBatch(entries).toString('hex')).toBe(hex)
  }
})

test('delay levels are parsed as Java parses them', () => {
  for (const { text, parsed, levelMs } of goldenHashes<{
    text: string
    parsed: boolean
    levelMs: Record<string, number>
  }>('delayLevels')) {
    if (parsed) expect(parseDelayLevels(text)).toEqual(Object.values(levelMs))
    else expect(() => parseDelayLevels(text)).toThrow(/OPTION_INVALID/)
  }
})

test('names are judged as Java judges them', () => {
  interface Topic {
    name: string
    brokerValid: boolean
    system: boolean
    sendRefused: boolean
  }
  for (const { name, brokerValid, system, sendRefused } of goldenHashes<Topic>('topicName')) {
    if (name === 'a.b') continue // The one difference, tested on its own.
    expect([topicNameProblem(name) === undefined, isSystemTopic(name), isSendForbidden(name)], name).toEqual([
      brokerValid,
      system,
      sendRefused,
    ])
  }
  for (const { name, clientError } of goldenHashes<{ name: string; clientError: string | null }>('groupName')) {
    expect(groupNameProblem(name) === undefined, name).toBe(clientError === null)
  }
  for (const { group, retry, dlq } of goldenHashes<{ group: string; retry: string; dlq: string }>('groupTopics')) {
    expect([retryTopic(group), deadLetterTopic(group)]).toEqual([retry, dlq])
  }
})

test('beyond the Java rule a topic may have single dots inside', () => {
  for (const name of ['stock.level', 'a.b', 'a.b.c']) expect(topicNameProblem(name), name).toBeUndefined()
  for (const name of ['.', '..', '.a', 'a.', 'a..b', '../a', 'a./b'])
    expect(topicNameProblem(name), name).toMatch(/other characters/)
  expect(groupNameProblem('a.b')).toMatch(/other characters/)
})
